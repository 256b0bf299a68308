"""The suite of all languages on a real cluster: each in its own image and sandboxes."""

from typing import Any

import pytest

from citadel.kube.resources import RUNTIMES
from citadel.render.pod import HARNESS
from conformance.cases import MEBIBYTE, Case
from conformance.languages import Language, languages
from live import SYSTEM, Cluster, python

#: Languages under the kernel of the node, and those with a Runtime under gVisor.
PLACES = [pytest.param(language, "", id=language.name) for language in languages()] + [
    pytest.param(language, "gvisor", id=f"{language.name} under gVisor")
    for language in languages()
    if language.name in HARNESS
]
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
    entrypoint = {"entrypoint": case.entrypoint}
    source = entrypoint if case.entrypoint else {"code": language.code(case.snippet)}
    return made | {"run": {"runtime": language.name, **source, "env": env}}


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


async def under(cluster: Cluster, language: Language, kernel: str) -> None:
    """Have the steps of this language run under this RuntimeClass."""
    shared = await cluster.kube.get(RUNTIMES, language.name, SYSTEM)
    metadata = {"name": language.name, "namespace": cluster.namespace}
    spec = shared["spec"] | {"runtimeClassName": kernel}
    body = {"apiVersion": RUNTIMES.api_version, "kind": "Runtime", "metadata": metadata, "spec": spec}
    await cluster.kube.create(RUNTIMES, body)


@pytest.mark.parametrize(("language", "kernel"), PLACES)
async def test_what_succeeds_gives_its_output(
    cluster: Cluster, language: Language, kernel: str, container_image: str
) -> None:
    if kernel:
        await under(cluster, language, kernel)
    cases = [case for case in chosen(language) if not case.reason]
    small = {case.name: case.output for case in cases if case.name != LARGE}
    await cluster.workflow(
        "all",
        [GROW, *(step(language, case, container_image) for case in cases)],
        outputs={name: f"${{steps.{name}.output}}" for name in small}
        | {"size": f"${{size(steps.{LARGE}.output)}}"},
    )
    status = await cluster.run("all", 240)
    assert status["phase"] == "Succeeded", status
    found = status["outputs"]
    assert found.pop("size") == MEBIBYTE - 2
    assert {name: found.get(name) for name in small} == small  # the API server keeps no null
    assert set(found) <= set(small)


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
