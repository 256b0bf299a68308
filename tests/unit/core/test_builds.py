"""Steps in compiled languages: what is built for them, when, and what is not built again."""

from typing import Any

import pytest

from citadel.core import builds
from citadel.core import events as ev
from citadel.core.advance import advance
from citadel.core.dispatch import dispatch
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import Plan, compile_definition
from citadel.core.recalling import key_of
from citadel.core.state import State
from citadel.core.values import BuildKey, MissingValues, Values
from engine import Run, content, failure, step

GO = {"language": "go", "image": "go:1", "env": [{"name": "A", "value": "b"}]}
RUNTIMES = {"go": GO, "java": {"language": "java", "image": "java:1"}, "python": {"image": "python:1"}}


def compiled(name: str, runtime: str = "go", code: str = "package main", **fields: Any) -> dict[str, Any]:
    """A step in a compiled language."""
    arguments = {"with": fields.pop("arguments")} if "arguments" in fields else {}
    run = {"runtime": runtime, "code": code, "env": [{"name": "B", "value": "c"}]}
    return {"name": name, "run": run, **arguments, **fields}


def plan(*steps: dict[str, Any], runtimes: dict[str, Any] = RUNTIMES, **spec: Any) -> Plan:
    return compile_definition({"spec": {"steps": list(steps), **spec}, "runtimes": runtimes, "code": {}})


def recalled(run: Run) -> list[str]:
    return [event.step for event, _ in run.log if isinstance(event, ev.StepRecalled)]


def test_each_step_in_a_compiled_language_has_a_build_before_it_and_no_other_has() -> None:
    found = plan(step("a"), compiled("b"), compiled("c", "java"))
    assert list(found.steps) == ["a", "b.build", "b", "c.build", "c"]
    assert found.steps["b"].after == ("a", "b.build")
    assert found.steps["b.build"].after == ()


def test_an_entry_point_is_nothing_to_compile() -> None:
    run = {"runtime": "go", "entrypoint": "jobs:main"}
    with pytest.raises(InvalidDefinition, match="but go is compiled from code; expected code or codeFrom"):
        plan({"name": "b", "run": run})


def test_a_program_built_with_other_packages_is_another() -> None:
    step = {"spec": {"steps": [compiled("b")]}, "runtimes": RUNTIMES, "code": {}}
    keys = set()
    for digest in ("sha256:1", "sha256:2", None):
        packages = {"go": {"namespace": "n", "digest": digest, "size": 1}} if digest else {}
        found = compile_definition({**step, "packages": packages})
        keys.add(key_of(found, "team", found.steps["b.build"]).digest)
    assert len(keys) == 3


def test_a_build_has_nothing_of_its_step_but_the_code_and_a_sandbox_of_its_own() -> None:
    network = {"egress": ["api.example.com:443"]}
    given = compiled("b", arguments={"x": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}})
    found = plan({**given, "network": network}, runtimes={**RUNTIMES, "go": {**GO, "network": network}})
    place = found.placements["b.build"]
    assert place.exclusive
    assert place.egress == ()
    assert place.key != found.placements["b"].key
    assert place.template["resources"] == {
        "requests": {"cpu": "250m", "memory": "256Mi"},
        "limits": {"cpu": "2", "memory": "1Gi"},
    }
    assert "env" not in place.template
    assert not found.steps["b.build"].has_references
    run = Run(found)
    run.register()
    given = dispatch(run.state, "b.build", {})
    assert (given.code, dict(given.env), dict(given.arguments)) == ("package main", {}, {})


def test_the_step_gets_the_program_that_its_build_made() -> None:
    run = Run(plan(compiled("b")))
    assert run.register() == ["b.build"]
    run.end("b.build")
    run.register()
    assert dispatch(run.state, "b", {}).program == content("program of b.build")
    assert run.finish().statuses() == {"b.build": "Succeeded", "b": "Succeeded"}


def test_what_was_built_of_the_same_in_the_same_namespace_is_not_built_again() -> None:
    found = plan(compiled("b"), compiled("c", code="package other"))
    first = Run(found)
    first.finish()
    key = key_of(found, "default", found.steps["b.build"])
    second = Run(found, builds={key: content("program of b.build")})
    second.finish()
    assert recalled(first) == []
    assert recalled(second) == ["b.build"]
    output = second.state.steps["b.build"].output
    assert output is not None
    program = content("program of b.build")
    assert Values().get(output) == {"program": program.digest, "size": program.size}
    assert second.replayed() == second.state


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(plan(compiled("b", code="package other")), id="other code"),
        pytest.param(plan(compiled("b"), runtimes={"go": {**GO, "image": "go:2"}}), id="another image"),
        pytest.param(plan(compiled("b"), runtimes={"go": {**GO, "language": "java"}}), id="a language"),
    ],
)
def test_anything_else_has_another_key(other: Plan) -> None:
    same = plan(compiled("b", arguments={"x": 1}, timeout="3s"))
    mine = plan(compiled("b"))
    assert key_of(same, "a", same.steps["b.build"]) == key_of(mine, "a", mine.steps["b.build"])
    assert key_of(other, "a", other.steps["b.build"]) != key_of(mine, "a", mine.steps["b.build"])


def test_namespaces_share_no_builds() -> None:
    found = plan(compiled("b"))
    key = key_of(found, "default", found.steps["b.build"])
    run = Run(found, builds={BuildKey("another", key.digest): content("theirs")})
    assert run.register() == ["b.build"]


def test_a_build_that_fails_fails_the_execution_and_its_step_never_runs() -> None:
    run = Run(plan(compiled("b"), step("c")))
    run.finish(lambda name, attempt: failure("InvalidCode", "b.go:3: undefined: x"))
    assert run.statuses() == {"b.build": "Failed", "b": "Pending", "c": "Pending"}
    finished = run.state.finished
    assert finished is not None
    assert (finished.reason, finished.step) == ("InvalidCode", "b.build")
    assert finished.message == "step b.build: b.go:3: undefined: x"


def test_a_build_whose_sandbox_is_lost_is_tried_again() -> None:
    run = Run(plan(compiled("b")))
    run.register()
    run.lose(run.usable()[0])
    assert run.finish().statuses() == {"b.build": "Succeeded", "b": "Succeeded"}


def test_what_comes_after_a_failure_is_built_after_a_failure_too() -> None:
    run = Run(plan(step("a"), compiled("clean", join="finished"), parallelism=1))
    run.finish(lambda name, attempt: failure() if name == "a" else None)
    assert run.statuses() == {"a": "Failed", "clean": "Succeeded", "clean.build": "Succeeded"}


def test_steps_of_the_same_code_share_one_build() -> None:
    run = Run(plan(*(compiled(name) for name in "abc"), compiled("d", code="package other")))
    run.finish()
    assert [name for name in run.statuses() if name.endswith(".build")] == ["a.build", "d.build"]
    assert run.phase() == "Succeeded"


def test_every_compiled_language_has_flags() -> None:
    assert set(builds.FLAGS) == {"go", "java"}


def test_what_was_built_is_looked_up_for_all_steps_at_once() -> None:
    found = plan(compiled("b"), compiled("c", code="package other"), compiled("d", "java"))
    asked = []
    try:
        advance(State(), [Run(found).created()], 0.0, Values(), plan=found)
    except MissingValues as missing:
        asked = sorted(key.digest for key in missing.builds)
    names = ("b.build", "c.build", "d.build")
    assert asked == sorted(key_of(found, "default", found.step(name)).digest for name in names)


def test_a_build_stays_within_what_an_admin_allows_a_sandbox() -> None:
    steps = [{"name": "a", "run": {"runtime": "go", "code": "package main"}}]
    document = {"spec": {"steps": steps}, "runtimes": {"go": {"language": "go", "image": "i"}}, "code": {}}
    limits = {"cpu": "1", "memory": "128Mi", "scratch": "64Mi", "timeout": "1m"}
    free, bounded = compile_definition(document), compile_definition({**document, "limits": limits})
    assert free.placements["a.build"].template["scratch"] == builds.SCRATCH
    template = bounded.placements["a.build"].template
    assert template["resources"]["limits"] == {"cpu": "1", "memory": "128Mi"}
    assert template["resources"]["requests"] == {"cpu": "250m", "memory": "128Mi"}
    assert (template["scratch"], bounded.steps["a.build"].timeout) == ("64Mi", 60)
