"""Paths of expressions, wherever a workflow has one, followed through what is known."""

from typing import Any

import pytest

import engine
from citadel.core.lookups import lookup_problems

INPUTS = {
    "type": "object",
    "properties": {
        "region": {"type": "string"},
        "limit": {"type": "integer"},
        "dry": {"type": ["boolean", "null"]},
    },
}


def problems(*steps: dict[str, Any], **spec: Any) -> list[str]:
    compiled = engine.plan(*(steps or (engine.step("a"),)), inputs=INPUTS, **spec).workflow
    return [problem.text for problem in lookup_problems(compiled)]


NOPE = "${inputs.nope}"
CONTAINER = {"image": "i", "command": ["c"], "env": [{"name": "A"}, {"name": "B", "value": NOPE}]}


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ({"arguments": {"x": [{"y": NOPE}]}}, "with.x"),
        ({"arguments": {"x": f"text {NOPE}"}}, "with.x"),
        ({"when": "inputs.nope == 1"}, "when"),
        ({"files": {"a.txt": NOPE}}, 'files["/work/a.txt"]'),
        ({"container": CONTAINER}, "container.env[1].value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_looked_for_wherever_an_expression_may_stand(step: dict[str, Any], place: str) -> None:
    told = "found inputs.nope, but inputs has region, limit, dry"
    assert problems(engine.step("a", **step)) == [f"spec.steps[0].{place}: {told}"]


def test_outputs_are_followed_and_each_problem_is_told_once() -> None:
    found = problems(outputs={"x": "${inputs.nope} ${inputs.nope} ${inputs.regoin}", "y": "${inputs.region}"})
    assert found == [
        "spec.outputs.x: found inputs.nope, but inputs has region, limit, dry",
        "spec.outputs.x: found inputs.regoin, but inputs has region, limit, dry, did you mean region?",
    ]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("execution.nam", "found execution.nam, but execution has name, namespace, uid, phase, error"),
        (
            "steps.a.error.mesage",
            "found steps.a.error.mesage, but steps.a.error has reason, message, did you",
        ),
        ("steps.a.status.x", "found the field x of steps.a.status, which is a text"),
        ("inputs.limit.x", "found the field x of inputs.limit, which is an integer"),
        ("inputs.region[0]", "found the item 0 of inputs.region, which is a text"),
    ],
)
def test_what_the_engine_itself_gives_is_known(expression: str, told: str) -> None:
    (found,) = problems(outputs={"x": f"${{{expression}}}"})
    assert found.startswith(f"spec.outputs.x: {told}")


@pytest.mark.parametrize(
    "expression",
    [
        "inputs.?nope.orValue(1)",
        "has(inputs.nope) ? 1 : 2",
        "inputs",
        "size(inputs.region)",
        "steps.a.output.whatever[0].else",
        "steps.a.?error.orValue({})",
        "[{'nope': 1}].map(inputs, inputs.nope)",
    ],
)
def test_what_may_be_there_is_let_through(expression: str) -> None:
    assert problems(outputs={"x": f"${{{expression}}}"}) == []


def test_a_condition_that_is_known_to_be_none_is_refused() -> None:
    (found,) = problems(engine.step("a", when="inputs.region"))
    assert found == "spec.steps[0].when: found inputs.region, which is a text, expected true or false"
    assert problems(engine.step("a", when="inputs.dry")) == []
    assert problems(engine.step("a", when="inputs.region == 'x'")) == []
