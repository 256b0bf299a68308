"""Files and artifacts of steps: where they stand, who waits for whom, what is refused with which words."""

from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.dispatch import contents, dispatch
from citadel.core.parcels import LEFT_PLACES, TAKEN_PLACES, InvalidPath, absolute
from citadel.core.placing import InvalidDefinition
from engine import Run, content, failure, plan, step

CLONE = step("clone", artifacts={"out": {"src": "./", "log": "/tmp/log"}})
BUILD = step("build", needs=[], artifacts={"in": {"/data/src": "steps.clone.artifacts.src"}})


@pytest.mark.parametrize(
    ("spelling", "path"),
    [
        ("./", "/work"),
        ("out", "/work/out"),
        ("./a//b/./c", "/work/a/b/c"),
        ("/data/src/", "/data/src"),
        ("/work", "/work"),
        ("dir/..x", "/work/dir/..x"),
    ],
)
def test_paths_begin_in_the_working_directory(spelling: str, path: str) -> None:
    assert absolute(spelling, TAKEN_PLACES) == path


@pytest.mark.parametrize(
    "spelling", ["..", "/work/../etc", "a/../../b", "/etc", "/workshop", "/", "a\nb", "é" * 101]
)
def test_no_path_leads_elsewhere(spelling: str) -> None:
    with pytest.raises(InvalidPath):
        absolute(spelling, LEFT_PLACES)


def test_who_takes_an_artifact_waits_for_who_leaves_it_and_gets_it_by_digest() -> None:
    run = Run(plan(CLONE, BUILD))
    assert run.plan.steps["build"].after == ("clone",)
    assert run.register() == ["clone"]
    run.end("clone")
    given = dispatch(run.state, "build", {})
    assert given.taken == {"/data/src": content("src of clone")}
    assert contents(run.state, "build") == [content("src of clone")]
    assert dispatch(run.state, "clone", {}).left == {"src": "/work", "log": "/tmp/log"}
    assert run.finish().phase() == "Succeeded"
    assert run.replayed() == run.state


def test_a_step_whose_artifact_was_never_left_is_skipped() -> None:
    run = Run(plan({**CLONE, "when": "false"}, BUILD)).finish()
    assert run.statuses() == {"clone": "Skipped", "build": "Skipped"}
    assert run.state.steps["build"].reason == "DependencySkipped"


def test_what_counts_is_what_the_attempt_left_that_succeeded() -> None:
    run = Run(plan({**CLONE, "retry": {"attempts": 2}}, BUILD))
    run.finish(lambda name, attempt: failure() if (name, attempt) == ("clone", 1) else None)
    assert run.state.steps["clone"].attempt == 2
    assert run.state.steps["clone"].artifacts["src"] == content("src of clone")


def test_files_are_texts_with_expressions_and_other_values_as_json() -> None:
    load = step("load")
    files = {
        "plain.txt": "a $${b}",
        "conf/a.yaml": "user: ${inputs.user}",
        "/work/rows.json": "${steps.load.output}",
        "list.json": ["${inputs.user}", 1],
    }
    run = Run(
        plan(load, step("use", files=files), inputs={"type": "object", "properties": {"user": {}}}),
        {"user": "Ada"},
    )
    assert run.plan.steps["use"].after == ("load",)
    run.register()
    run.end("load", {"b": 1, "a": "ü"})
    given = dispatch(run.state, "use", run.store)
    assert given.files == {
        "/work/plain.txt": "a ${b}",
        "/work/conf/a.yaml": "user: Ada",
        "/work/rows.json": '{"a":"ü","b":1}',
        "/work/list.json": '["Ada",1]',
    }


def test_files_by_reference_are_delivered_sealed_as_arguments_are() -> None:
    secret = {"valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}}}
    run = Run(plan(step("use", files={"token": secret}, arguments={"a": secret})))
    run.register()
    compiled = run.plan.steps["use"]
    assert compiled.has_references
    assert [(name, where) for name, where, _ in compiled.by_reference()] == [
        ("a", "with.a"),
        ("/work/token", "files /work/token"),
    ]
    given = dispatch(run.state, "use", {})
    assert set(given.references) == {"a", "/work/token"}
    assert given.files == {}


def test_files_have_a_bound_in_all() -> None:
    run = Run(
        plan(step("load"), step("use", files={"a": "${steps.load.output}", "b": "${steps.load.output}"}))
    )
    run.register()
    run.end("load", "x" * 600_000)
    failed = run.state.steps["use"].failure
    assert failed is not None
    assert failed.reason == "ExpressionError"
    assert "files: /work/b: found 1200000 bytes of text so far, expected at most 1048576" in failed.message


def test_an_attempt_that_leaves_eight_artifacts_is_a_small_event() -> None:
    out = {f"{'n' * 62}{number}": "out" for number in range(8)}
    run = Run(plan(step("s" * 63, artifacts={"out": out})))
    run.register()
    event = run.result("s" * 63, "x" * 1000)
    assert isinstance(event, ev.AttemptSucceeded)
    run.post(event)  # which checks its size


def problems(*steps: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidDefinition) as caught:
        plan(*steps)
    return [problem.text for problem in caught.value.problems]


def takes(source: str, at: str = "in") -> dict[str, Any]:
    return step("b", artifacts={"in": {at: source}})


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((CLONE, takes("steps.clone.artifacts.scr")), "expected one that it leaves: log, src"),
        ((step("a"), takes("steps.a.artifacts.src")), "'src' of step a, expected one that it leaves: none"),
        ((takes("steps.ghost.artifacts.src"),), "found a reference to step 'ghost', expected one of: b"),
        ((takes("steps.b.artifacts.src"),), "found artifact 'src' of step b"),
        ((CLONE, takes("${steps.clone.artifacts.src}")), "another step: steps.<step>.artifacts.<name>"),
        ((CLONE, takes("steps.clone.output")), "expected an artifact of another step"),
        ((CLONE, takes("steps.clone.artifacts.src", "/etc")), "'/etc', expected a path in /work or /data"),
        ((CLONE, takes("steps.clone.artifacts.src", "../x")), "found '../x', expected a path without .."),
        ((step("a", artifacts={"out": {"src": "/root"}}),), "expected a path in /work or /data or /tmp"),
        ((step("a", files={"/data/x": ""}),), "found '/data/x', expected a path in /work"),
        ((step("a", files={"./": ""}),), "found the directory /work, expected a file in it"),
        ((step("a", files={"x": "", "/work/x": ""}),), "found /work/x twice"),
        ((step("a", files={"x": "${ghost}"}),), "found the unknown name ghost"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(steps: tuple[dict[str, Any], ...], words: str) -> None:
    assert any(words in problem for problem in problems(*steps))


def test_a_container_step_has_data_only_when_it_uses_it() -> None:
    container = {"container": {"image": "alpine", "command": ["true"]}}
    found = plan(
        CLONE,
        step("build", needs=[], **container, artifacts=BUILD["artifacts"]),
        step("c", **container, artifacts={"out": {"x": "x"}}),
    )
    assert found.placements["build"].template["data"] is True
    assert "data" not in found.placements["c"].template
    assert "data" not in found.placements["clone"].template
