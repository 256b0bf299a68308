"""Paths of expressions, wherever a workflow has one, followed through what is known."""

from typing import Any

import pytest

import engine
from citadel.api.workflow import WorkflowSpec
from citadel.core.lookups import lookup_problems
from citadel.core.plan import compile_workflow

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
        ("execution.nam", "found execution.nam, but execution has name, namespace, uid, did you mean name?"),
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


ROWS = {
    "type": "object",
    "properties": {
        "rows": {"type": "array", "items": {"type": "object", "properties": {"id": {}, "ok": {}}}}
    },
}
LOAD = engine.step("load", outputSchema=ROWS)


def after(expression: str, *steps: dict[str, Any]) -> list[str]:
    """The problems of an output that reads these steps."""
    return problems(*steps, outputs={"x": f"${{{expression}}}"})


@pytest.mark.parametrize(
    ("step", "good", "bad", "told"),
    [
        (LOAD, "steps.load.output.rows[0].id", "steps.load.output.row", "has rows, did you mean rows?"),
        (LOAD, "steps.load.output.rows.map(r, r.id)", "steps.load.output.rows.id", "which is a list"),
        (
            {**LOAD, "forEach": {"items": [1, 2]}},
            "steps.load.output[0].rows",
            "steps.load.output.rows",
            "found the field rows of steps.load.output, which is a list",
        ),
        (
            {**LOAD, "repeat": {"max": 3}},
            "steps.load.output.rows",
            "steps.load.output[0]",
            "found the item 0 of steps.load.output",
        ),
        (
            {**LOAD, "onError": {"output": {"else": 1}}},
            "steps.load.output['else']",
            "steps.load.error.what",
            "steps.load.error has reason, message",
        ),
        (
            {"name": "load", "steps": [LOAD | {"name": "inner"}], "output": "${steps.inner.output.rows}"},
            "steps.load.output[0].ok",
            "steps.load.output[0].okay",
            "steps.load.output[0] has id, ok, did you mean ok?",
        ),
        (
            {"name": "load", "steps": [engine.step("inner")], "output": {"passed": "${steps.inner.output}"}},
            "steps.load.output.passed.anything",
            "steps.load.output.pased",
            "steps.load.output has passed, did you mean passed?",
        ),
        (
            {"name": "load", "approval": {"approvers": {"users": ["jane"]}, "form": INPUTS}},
            "steps.load.output.form.region",
            "steps.load.output.form.regoin",
            "steps.load.output.form has region, limit, dry, did you mean region?",
        ),
        (
            {"name": "load", "switch": {"cases": [{"when": "true", "value": 1}], "default": {"a": 1}}},
            "steps.load.output.a",
            "inputs.a",
            "inputs has region, limit, dry",
        ),
    ],
    ids=["schema", "list", "forEach", "repeat", "onError", "group", "written", "approval", "switch"],
)
def test_the_output_of_a_step_is_known_by_its_kind(
    step: dict[str, Any], good: str, bad: str, told: str
) -> None:
    assert after(good, step) == []
    (found,) = after(bad, step)
    assert told in found


def over_rows(**step: Any) -> dict[str, Any]:
    return engine.step("each", forEach={"items": "${steps.load.output.rows}"}, **step)


NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}


@pytest.mark.parametrize(
    ("steps", "place", "told"),
    [
        (
            [LOAD, over_rows(arguments={"x": "${item.idd}"})],
            "[1].with.x",
            "has id, ok, did you mean id?",
        ),
        ([LOAD, over_rows(when="item.od == 1")], "[1].when", "item has id, ok"),
        ([LOAD, over_rows(when="index")], "[1].when", "which is an integer, expected true or false"),
        (
            [
                engine.step("load", outputSchema=NUMBERS),
                engine.step(
                    "each", forEach={"items": "${steps.load.output}"}, arguments={"x": "${item.value.x}"}
                ),
            ],
            "[1].with.x",
            "found the field x of item.value, which is a number",
        ),
        (
            [
                LOAD,
                {
                    "name": "each",
                    "forEach": {"items": "${steps.load.output.rows}"},
                    "steps": [engine.step("inner", arguments={"x": "${item.idd}"})],
                    "output": "${steps.inner.output}",
                },
            ],
            "[1].steps[0].with.x",
            "item has id, ok",
        ),
        (
            [engine.step("each", forEach={"items": "${inputs.region}"})],
            "[0].forEach.items",
            "found what is a text, expected a list or an object",
        ),
        (
            [{**LOAD, "repeat": {"until": "output.passed", "max": 3}}],
            "[0].repeat.until",
            "found output.passed, but output has rows",
        ),
        (
            [{**LOAD, "repeat": {"until": "iteration", "max": 3}}],
            "[0].repeat.until",
            "found iteration, which is an integer, expected true or false",
        ),
        (
            [engine.step("load", onError={"output": "${error.mesage}"})],
            "[0].onError.output",
            "error has reason, message, did you mean message?",
        ),
        (
            [
                {
                    **LOAD,
                    "compensate": {
                        "run": {"runtime": "python", "code": "x"},
                        "with": {"x": "${output.row}"},
                    },
                }
            ],
            "[0].compensate.with.x",
            "output has rows, did you mean rows?",
        ),
        (
            [
                {
                    "name": "a",
                    "switch": {"cases": [{"when": "inputs.limit", "value": "${inputs.nope}"}]},
                }
            ],
            "[0].switch.cases[0]",
            "",
        ),
        ([{"name": "a", "wait": {"until": "${inputs.nope}"}}], "[0].wait.until", "inputs has region"),
        ([engine.step("a", cache={"key": "${inputs.nope}"})], "[0].cache.key", "inputs has region"),
    ],
)
def test_what_a_step_sees_of_loops_handlers_and_itself_is_known(
    steps: list[dict[str, Any]], place: str, told: str
) -> None:
    found = problems(*steps)
    assert found
    assert all(text.startswith(f"spec.steps{place}") and told in text for text in found)


def test_a_workflow_that_a_step_runs_is_known_where_it_stands_beside_it() -> None:
    other = engine.plan(
        engine.step("a"),
        inputs={**INPUTS, "required": ["region", "limit"]},
        outputs={"total": 1},
    ).workflow
    run = {"name": "child", "workflow": {"name": "other"}}

    def found(output: str, **arguments: Any) -> list[str]:
        plan = engine.plan({**run, "with": arguments}, outputs={"x": f"${{steps.child.output.{output}}}"})
        return [problem.text for problem in lookup_problems(plan.workflow, {"other": other})]

    assert found("total", region="x", limit=1) == []
    assert found("totl", region="x", limit=1) == [
        "spec.outputs.x: found steps.child.output.totl, but steps.child.output has total, did you mean total?"
    ]
    assert found("total", regoin="x", limit=1) == [
        "spec.steps[0].with.regoin: found regoin, but Workflow other takes region, limit, dry, did you mean"
        " region?",
        "spec.steps[0].with: Workflow other requires the input region",
    ]
    assert problems(run) == []
    earlier = engine.plan({**run, "workflow": {"name": "other", "revision": "1f7be03d55c2"}})
    assert lookup_problems(earlier.workflow, {"other": other}) == []


def test_only_the_steps_of_finally_see_how_it_ended() -> None:
    tell = engine.step("tell", arguments={"x": "${execution.phase} ${execution.error.message}"})
    assert problems(engine.step("a"), **{"finally": [tell]}) == []
    phase, error = problems(tell)
    assert "found execution.phase, but execution has name, namespace, uid" in phase
    assert "found execution.error, but execution has name, namespace, uid" in error


WHO = "expected a name: who may decide is written down, not computed"
TIME = "expected a time such as 2030-01-31T08:00:00Z"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"wait": {"until": "tomorrow"}}, f"wait.until: found 'tomorrow', {TIME}"),
        ({"wait": {"until": "2030-13-01T00:00:00Z"}}, f"wait.until: found '2030-13-01T00:00:00Z', {TIME}"),
        (
            {"approval": {"approvers": {"users": ["ann", "${inputs.region}"]}}},
            f"approval.approvers.users[1]: found '${{inputs.region}}', {WHO}",
        ),
        (
            {"forEach": {"items": "abc"}, "wait": {"for": "1s"}},
            'forEach.items: found "abc" (string), expected a list, a map, or an expression that gives one',
        ),
    ],
)
def test_what_is_written_down_and_can_never_be_right_is_refused(step: dict[str, Any], told: str) -> None:
    assert problems({"name": "a", **step}) == [f"spec.steps[0].{told}"]


@pytest.mark.parametrize(
    "step",
    [
        {"wait": {"until": "2030-01-31T08:00:00+02:00"}},
        {"wait": {"until": "${inputs.region}"}},
        {"forEach": {"items": []}, "wait": {"for": "1s"}},
        {"forEach": {"items": {"a": 1}}, "wait": {"for": "1s"}},
        {"approval": {"approvers": {"users": ["ann$"], "groups": ["system:masters"]}}},
    ],
)
def test_what_is_written_down_and_right_is_taken(step: dict[str, Any]) -> None:
    assert problems({"name": "a", **step}) == []


DEEP = {
    "type": "object",
    "properties": {
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"id": {}, "tags": {"type": "array", "items": {"properties": {"text": {}}}}},
            },
        },
        "by": {"type": "object", "additionalProperties": {"type": "object", "properties": {"id": {}}}},
    },
}


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("{rows}.map(row, row.idd)", "found row.idd, but row has id, tags, did you mean id?"),
        ("{rows}.filter(row, row.idd > 1)", "found row.idd, but row has id, tags, did you mean id?"),
        ("{rows}.exists(r, r.tags.all(t, t.txt == r.id))", "found t.txt, but t has text, did you mean text?"),
        ("{rows}.map(row, row.tags.map(row, row.id))", "found row.id, but row has text"),
        ("{rows}.map(row, row.id.x) + {rows}.map(row, row.id)", ""),
        ("{rows}.filter(row, has(row.idd))", ""),
        ("{rows}.map(row, row.?idd.orValue(1))", ""),
        ("{rows}.map(row, row.tags[0].text)", ""),
        ("{rows}.filter(row, row.id > 1).map(row, row.what)", ""),
        ("{by}.map(key, key.what)", ""),
        ("[inputs.limit].map(x, x.y)", ""),
        ("steps.load.output.what.map(x, x.y)", "found steps.load.output.what"),
    ],
)
def test_what_map_and_filter_go_through_is_known(expression: str, told: str) -> None:
    load = engine.step("load", outputSchema=DEEP)
    expression = expression.replace("{rows}", "steps.load.output.rows").replace(
        "{by}", "steps.load.output.by"
    )
    found = after(expression, load)
    assert told in found[0] if told else found == []


def test_the_error_of_an_execution_is_known_in_finally() -> None:
    final = engine.step("last", arguments={"x": "${execution.?error.reson.orValue('')}"})
    (found,) = problems(engine.step("a"), **{"finally": [final]})
    assert "execution.error has step, reason, message, did you mean reason?" in found


@pytest.mark.parametrize(
    ("container", "told"),
    [
        (
            {"command": ["sh", "-c", "echo ${HOME} ${inputs.region}"]},
            "spec.steps[0].container.command[2]: found '${inputs.region}', which is taken literally here: "
            "command is never templated; hand it over by env, and write $(NAME) or read the variable",
        ),
        ({"args": ["${ steps.a.output }"]}, "container.args[0]: found '${ steps.a.output }'"),
        ({"image": "r/${inputs.region}:1"}, "container.image: found '${inputs.region}', which is taken"),
        ({"command": ["sh", "-c", "for item in *; do echo ${item} $${inputs.x} ${steps[0]}; done"]}, ""),
    ],
)
def test_expressions_where_nothing_is_templated_are_told(container: dict[str, Any], told: str) -> None:
    found = problems({"name": "a", "container": {"image": "i", "command": ["c"], **container}})
    assert [told in text for text in found] == ([True] if told else [])


def test_what_a_step_has_beside_its_output_is_no_part_of_that() -> None:
    flow = {
        "steps": [
            {
                "name": "write",
                "llm": {"model": "m", "prompt": "x"},
                "outputSchema": {"type": "object", "additionalProperties": False, "properties": {}},
            }
        ],
        "outputs": {"a": "${steps.write.usage.calls}", "b": "${steps.write.usage.csot}"},
    }
    found = lookup_problems(compile_workflow(WorkflowSpec.model_validate(flow)))
    assert [problem.message.partition(",")[0] for problem in found] == ["found steps.write.usage.csot"]
