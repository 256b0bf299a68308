"""What a definition compiles to, and what is refused with which words."""

from typing import Any

import pytest

from citadel.api.actions import Resources
from citadel.api.runtime import RuntimeSpec
from citadel.api.workflow import WorkflowSpec
from citadel.core.placing import InvalidDefinition, merge_resources
from citadel.core.plan import compile_definition, compile_workflow
from engine import plan, step


def after(*steps: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: compiled.after for name, compiled in plan(*steps).steps.items()}


def test_a_step_without_needs_waits_for_the_step_above() -> None:
    assert after(step("a"), step("b"), step("c")) == {"a": (), "b": ("a",), "c": ("b",)}


def test_a_step_with_needs_waits_for_exactly_those() -> None:
    found = after(step("a"), step("b", needs=[]), step("c", needs=["a"]))
    assert found == {"a": (), "b": (), "c": ("a",)}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"arguments": {"x": "${steps.a.output}"}}, id="in an argument"),
        pytest.param(
            {"arguments": {"x": {"deep": ["${steps.a.?output.orValue(1)}"]}}}, id="deep in an argument"
        ),
        pytest.param({"when": "steps.a.status == 'Succeeded'"}, id="in when"),
        pytest.param(
            {
                "run": {
                    "runtime": "python",
                    "code": "x",
                    "env": [{"name": "A", "value": "n ${steps.a.output}"}],
                }
            },
            id="in an environment variable",
        ),
    ],
)
def test_a_step_waits_for_every_step_it_refers_to(fields: dict[str, Any]) -> None:
    assert after(
        step("a"), step("b", needs=[]), {**step("c", needs=["b"]), **step("c", **fields), "needs": ["b"]}
    )["c"] == ("b", "a")


def test_steps_above_may_refer_to_steps_below() -> None:
    assert after(step("a", arguments={"x": "${steps.b.output}"}), step("b", needs=[]))["a"] == ("b",)


@pytest.mark.parametrize(
    ("steps", "path", "words"),
    [
        pytest.param(
            [step("a"), step("a")], "spec.steps[1].name", ["'a'", "steps[0]", "unique"], id="two of a name"
        ),
        pytest.param(
            [step("a", needs=["b"])], "spec.steps[0].needs[0]", ["'b'", "one of: a"], id="unknown need"
        ),
        pytest.param(
            [step("a", needs=["a"])], "spec.steps[0].needs[0]", ["itself"], id="a step that needs itself"
        ),
        pytest.param(
            [step("a", needs=["c"]), step("b"), step("c")],
            "spec.steps[0]",
            ["cycle", "a needs c needs b needs a"],
            id="a cycle through order",
        ),
        pytest.param(
            [step("a", arguments={"x": "${steps.b.output}"}), step("b")],
            "spec.steps[0]",
            ["cycle", "a needs b needs a"],
            id="a cycle through a reference",
        ),
        pytest.param(
            [step("a", arguments={"x": "${steps.ghost.output}"})],
            "spec.steps[0].with.x",
            ["'ghost'", "one of: a"],
            id="a reference to nothing",
        ),
        pytest.param(
            [step("a"), step("b", when="steps.ghost.output > 1")],
            "spec.steps[1].when",
            ["'ghost'", "one of: a, b"],
            id="a reference to nothing in when",
        ),
        pytest.param(
            [step("a", when="${inputs.x}")], "spec.steps[0].when", ["bare CEL"], id="when with braces"
        ),
        pytest.param([step("a", when="1 +")], "spec.steps[0].when", [], id="when that does not parse"),
        pytest.param(
            [step("a", when="item > 1")], "spec.steps[0].when", ["item", "forEach"], id="item outside a loop"
        ),
        pytest.param(
            [step("a", arguments={"x": {"valueFrom": {"fieldRef": {}}}})],
            "spec.steps[0].with.x.valueFrom",
            ["configMapKeyRef", "secretKeyRef"],
            id="a value from something unknown",
        ),
        pytest.param(
            [step("a", arguments={"x": {"valueFrom": {"secretKeyRef": {"name": "s"}}}})],
            "spec.steps[0].with.x.valueFrom.secretKeyRef",
            ["{name, key}"],
            id="a reference without a key",
        ),
        pytest.param(
            [step("a", arguments={"x": {"y": [{"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}})],
            "spec.steps[0].with.x.y[0].valueFrom",
            ["whole argument"],
            id="a reference inside a value",
        ),
        pytest.param(
            [{"name": "a", "approval": {"approvers": {"users": ["ann"]}, "form": {"type": "string"}}}],
            "spec.steps[0].approval.form.type",
            ['expected "object"'],
            id="a form that is no object",
        ),
        pytest.param(
            [step("a", timeout="0s")], "spec.steps[0].timeout", ["'0s'", "more than 0"], id="no time at all"
        ),
    ],
)
def test_refuses_with_path_and_words(steps: list[dict[str, Any]], path: str, words: list[str]) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        plan(*steps)
    texts = [problem.text for problem in caught.value.problems]
    assert len(texts) == 1, texts
    assert texts[0].startswith(f"{path}: ")
    for word in words:
        assert word in texts[0]


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        plan(step("a", needs=["x"]), step("b", when="1 +"), outputs={"o": "${steps.ghost.output}"})
    paths = [problem.text.split(":")[0] for problem in caught.value.problems]
    assert paths == ["spec.steps[0].needs[0]", "spec.steps[1].when", "spec.outputs.o"]


def test_a_request_above_its_limit_is_refused() -> None:
    run = {
        "runtime": "python",
        "code": "x",
        "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}},
    }
    with pytest.raises(InvalidDefinition, match="found 2, expected at most the limit 500m"):
        plan({"name": "a", "run": run})


def test_an_execution_without_time_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match=r"spec\.timeout: found '0m', expected more than 0"):
        plan(step("a"), timeout="0m")


def test_a_runtime_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="'cobol', expected the name of a Runtime"):
        plan({"name": "a", "run": {"runtime": "cobol", "code": "x"}})


def test_lint_needs_no_runtimes() -> None:
    spec = WorkflowSpec.model_validate({"steps": [{"name": "a", "run": {"runtime": "cobol", "code": "x"}}]})
    assert list(compile_workflow(spec).steps) == ["a"]


def test_steps_of_one_runtime_share_a_placement() -> None:
    placements = plan(step("a"), step("b")).placements
    assert placements["a"].key == placements["b"].key
    assert not placements["a"].exclusive


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"isolation": "step"}, id="isolation step"),
        pytest.param({"container": {"image": "busybox", "command": ["true"]}}, id="a container"),
        pytest.param(
            {"run": {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}},
            id="other resources",
        ),
    ],
)
def test_steps_that_share_nothing(other: dict[str, Any]) -> None:
    base = step("b", **other)
    placements = plan(step("a"), {**base, **other}).placements
    assert placements["a"].key != placements["b"].key


def test_two_exclusive_steps_have_two_placements() -> None:
    placements = plan(step("a", isolation="step"), step("b", isolation="step")).placements
    assert placements["a"].key != placements["b"].key
    assert placements["a"].exclusive


def test_a_variable_of_the_runtime_does_not_part_sandboxes() -> None:
    definition: dict[str, Any] = {
        "spec": {"steps": [step("a")]},
        "runtimes": {"python": {"image": "p", "env": [{"name": "A", "value": "b"}]}},
        "code": {},
    }
    with_env = compile_definition(definition).placements["a"].key
    definition["runtimes"]["python"]["env"] = []
    assert compile_definition(definition).placements["a"].key == with_env


def test_the_digest_is_of_the_definition() -> None:
    assert plan(step("a")).digest == plan(step("a")).digest
    assert plan(step("a")).digest != plan(step("b")).digest


@pytest.mark.parametrize(
    ("base", "override", "requests", "limits"),
    [
        pytest.param({}, {}, {}, {}, id="nothing"),
        pytest.param(
            {"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, {}, {"cpu": "2"}, id="the override wins"
        ),
        pytest.param(
            {"requests": {"memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            {"limits": {"memory": "32Mi"}},
            {"memory": "32Mi"},
            {"memory": "32Mi"},
            id="a smaller limit takes the request down with it",
        ),
    ],
)
def test_resources_are_merged(
    base: dict[str, Any], override: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    merged = merge_resources(Resources.model_validate(base), Resources.model_validate(override))
    assert merged.requests.model_dump(exclude_none=True) == requests
    assert merged.limits.model_dump(exclude_none=True) == limits


def test_default_resources_have_limits() -> None:
    template = plan(step("a")).placements["a"].template
    assert template["resources"]["limits"] == RuntimeSpec(image="x").resources.limits.model_dump(
        exclude_none=True
    )
