"""What steps are given and executions give: arguments, environment, outputs."""

from typing import Any

import pytest

from citadel.core.evaluating import MAX_VARIABLE
from engine import Run, plan, step

S, F, K, P, C = "Succeeded", "Failed", "Skipped", "Pending", "Cancelled"

a, b = step("a"), step("b", needs=[])


@pytest.mark.parametrize(
    ("template", "value"),
    [
        pytest.param("${steps.a.output}", {"n": 3, "s": "x"}, id="a whole output"),
        pytest.param("${steps.a.output.n}", 3, id="a plain path keeps its type"),
        pytest.param("n=${steps.a.output.n} s=${steps.a.output.s}", "n=3 s=x", id="inside a string"),
        pytest.param("all: ${steps.a.output}", 'all: {"n":3,"s":"x"}', id="compact JSON inside a string"),
        pytest.param("$${steps.a.output}", "${steps.a.output}", id="escaped"),
        pytest.param({"k": ["${steps.a.output.n + 1}"]}, {"k": [4]}, id="deep in a tree"),
        pytest.param("${inputs.region}", "emea", id="an input"),
        pytest.param("${inputs.odd}", "${steps.a.output}", id="what was substituted is not looked at again"),
        pytest.param("${execution.name}", "run", id="the execution's name"),
        pytest.param("${steps.a.status}", "Succeeded", id="a status"),
        pytest.param(5, 5, id="a literal"),
    ],
)
def test_arguments(template: Any, value: Any) -> None:
    inputs = {"type": "object", "properties": {"region": {}, "odd": {}}}
    run = Run(
        plan(a, step("b", arguments={"x": template}), inputs=inputs),
        {"region": "emea", "odd": "${steps.a.output}"},
    )
    run.register()
    run.end("a", {"n": 3, "s": "x"})
    assert run.payload("b")["arguments"] == {"x": value}


def test_large_outputs_are_passed_on_by_digest() -> None:
    rows = ["row"] * 1000
    run = Run(plan(a, step("b", arguments={"x": "${steps.a.output}", "n": "${size(steps.a.output)}"})))
    run.register()
    run.end("a", rows)
    assert run.payload("b")["arguments"] == {"x": rows, "n": 1000}


def test_environment_is_text() -> None:
    env = [{"name": "A", "value": "${steps.a.output.n}"}, {"name": "B", "value": "${steps.a.output}"}]
    run = Run(plan(a, {"name": "b", "run": {"runtime": "python", "code": "x", "env": env}}))
    run.register()
    run.end("a", {"n": 3})
    assert run.payload("b")["env"] == [{"name": "A", "value": "3"}, {"name": "B", "value": '{"n":3}'}]


def test_a_variable_too_large_for_an_environment_fails_the_step() -> None:
    env = [{"name": "A", "value": "${steps.a.output}"}]
    run = Run(plan(a, {"name": "b", "run": {"runtime": "python", "code": "x", "env": env}}))
    run.register()
    run.end("a", "x" * (MAX_VARIABLE + 1))
    assert run.phase() == F
    assert run.state.finished is not None
    assert "step b, env.A: found 65539 bytes, expected at most 65536" in run.state.finished.message


def test_an_argument_over_a_mebibyte_fails_the_step() -> None:
    run = Run(plan(a, step("b", arguments={"x": "${steps.a.output}${steps.a.output}"})))
    run.register()
    run.end("a", "x" * 600_000)
    assert run.state.finished is not None
    assert run.state.finished.reason == "ExpressionError"
    assert "step b, with.x: " in run.state.finished.message


def test_a_number_that_json_does_not_have_fails_the_step() -> None:
    run = Run(plan(a, step("b", arguments={"x": "${steps.a.output / 0.0}"})))
    run.register()
    run.end("a", 1.5)
    assert run.phase() == F
    assert run.statuses()["b"] == F


def test_outputs_are_computed_on_success() -> None:
    outputs = {
        "n": "${steps.a.output.n}",
        "text": "n is ${steps.a.output.n}",
        "none": "${steps.b.?output.orValue(null)}",
    }
    run = Run(plan(a, step("b", when="false"), outputs=outputs)).finish(lambda *_: {"n": 3})
    assert run.outputs() == {"n": 3, "text": "n is 3", "none": None}


def test_an_output_of_a_skipped_step_is_an_error_that_says_what_to_do() -> None:
    run = Run(plan(step("a", when="false"), outputs={"n": "${steps.a.output}"})).finish()
    assert run.phase() == F
    assert run.state.finished is not None
    assert (
        run.state.finished.message
        == "outputs.n: step a was skipped and has no output; use .?output.orValue(…)"
    )
