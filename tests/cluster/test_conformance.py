"""The suite of all languages on a real cluster: each in its own image and sandboxes."""

from typing import Any

import pytest

from conformance.cases import MEBIBYTE, Case
from conformance.languages import Language, languages
from live import Cluster, python

LARGE = "mebibyte"
GROW = python("grow", f"def main(): return 'x' * {MEBIBYTE - 2}")
EACH = pytest.mark.parametrize("language", languages(), ids=lambda language: language.name)


def step(language: Language, case: Case, image: str) -> dict[str, Any]:
    """A step that runs this case."""
    made: dict[str, Any] = {"name": case.name, "needs": [], "with": literal(case.given)}
    if case.name == LARGE:  # more than a definition may hold
        made |= {"needs": ["grow"], "with": {"v": "${steps.grow.output}"}}
    env = [{"name": name, "value": value} for name, value in ({"TMPDIR": "/tmp"} | case.env).items()]
    if language.name == "container":
        command = ["sh", "-c", language.code(case.snippet)]
        return made | {"container": {"image": image, "command": command, "env": env}}
    return made | {"run": {"runtime": language.name, "code": language.code(case.snippet), "env": env}}


def literal(value: Any) -> Any:
    """The value as a definition writes it: what looks like an expression is none."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def chosen(language: Language) -> list[Case]:
    """The cases that run here."""
    return [case for case in language.cases() if case.cluster]


@EACH
async def test_what_succeeds_gives_its_output(
    cluster: Cluster, language: Language, container_image: str
) -> None:
    cases = [case for case in chosen(language) if not case.reason]
    small = {case.name: case.output for case in cases if case.name != LARGE}
    await cluster.workflow(
        "all",
        [GROW, *(step(language, case, container_image) for case in cases)],
        outputs={name: f"${{steps.{name}.output}}" for name in small}
        | {"size": f"${{size(steps.{LARGE}.output)}}"},
    )
    status = await cluster.run("all", 120)
    assert status["phase"] == "Succeeded", status
    found = status["outputs"]
    assert found.pop("size") == MEBIBYTE - 2
    assert found == small


@EACH
async def test_what_fails_says_why_and_where(
    cluster: Cluster, language: Language, container_image: str
) -> None:
    cases = [case for case in chosen(language) if case.reason]
    for case in cases:
        await cluster.workflow(case.name, [step(language, case, container_image)])
    started = {case.name: await cluster.execute(case.name) for case in cases}
    for case in cases:
        status = (await cluster.finished(started[case.name], 120))["status"]
        assert (status["phase"], status["reason"]) == ("Failed", case.reason), status
        assert case.message in status["failure"]["message"]
        shown = status["failure"]["message"] + status["failure"].get("logTail", "")
        assert case.traceback.strip() in shown
