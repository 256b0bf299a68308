"""Objects into models: what is accepted as the API server accepts it, and every complaint in words."""

from typing import Any, get_args

import pytest

from citadel.api.loader import load
from citadel.api.modifiers import Retriable
from citadel.api.problems import Problem, dotted, found
from citadel.api.reasons import Reason
from citadel.api.validate import InvalidObject, parse, problems, problems_with_positions, title

STEP: dict[str, Any] = {"name": "a", "run": {"runtime": "python", "code": "x"}}


def workflow(*steps: Any, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "sales-report"},
        "spec": {"steps": list(steps), **spec},
    }


def execution(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"generateName": "sales-report-"},
        "spec": {"workflowRef": {"name": "sales-report"}, **spec},
    }


def runtime(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Runtime",
        "metadata": {"name": "python"},
        "spec": {"image": "python:1", **spec},
    }


def step(**fields: Any) -> dict[str, Any]:
    return workflow({**STEP, **fields})


def test_a_workflow_becomes_its_model() -> None:
    spec = parse("Workflow", step(**{"with": {"rows": "${inputs.rows}"}, "needs": [], "timeout": "30s"}))
    assert spec.steps[0].arguments == {"rows": "${inputs.rows}"}
    assert spec.steps[0].needs == ()
    assert spec.parallelism == 4


def test_an_execution_may_leave_its_name_to_the_api_server() -> None:
    assert parse("Execution", execution()).workflow_ref.name == "sales-report"


def test_a_null_counts_as_absent_where_fields_have_types() -> None:
    value = step(timeout=None, retry={"attempts": None}, env=None) | {"status": None}
    del value["spec"]["steps"][0]["env"]
    value["spec"]["steps"][0]["run"]["env"] = None
    value["spec"]["steps"][0]["with"] = {"kept": None}
    spec = parse("Workflow", value)
    assert spec.steps[0].retry is not None
    assert spec.steps[0].retry.attempts == 3
    assert spec.steps[0].arguments == {"kept": None}


@pytest.mark.parametrize(
    ("kind", "value", "messages"),
    [
        (
            "Workflow",
            workflow(STEP, {"name": "b", "run": {"runtime": "python"}}),
            ["spec.steps[1].run: found none of code, codeFrom and entrypoint, expected exactly one"],
        ),
        (
            "Workflow",
            workflow({"name": "b", "run": {"runtime": "python", "code": "x", "entrypoint": "a:b"}}),
            ["spec.steps[0].run: found code and entrypoint of code, codeFrom and entrypoint, expected"],
        ),
        (
            "Workflow",
            workflow({"name": "b", "run": {"runtime": "python", "entrypoint": "jobs.load"}}),
            ['spec.steps[0].run.entrypoint: found "jobs.load"'],
        ),
        ("Workflow", workflow({"name": "a"}), ["spec.steps[0]: found no action, expected exactly one of"]),
        (
            "Workflow",
            step(container={"image": "i", "command": ["c"]}),
            ["spec.steps[0]: found run and container, expected exactly one of run, container, steps,"],
        ),
        ("Workflow", step(neeeds=[]), ["spec.steps[0].neeeds: unknown field, did you mean needs?"]),
        ("Workflow", step(comand=[]), ["spec.steps[0].comand: unknown field, did you mean command?"]),
        ("Workflow", step(code="x"), ["spec.steps[0].code: unknown field, did you mean run.code?"]),
        ("Workflow", step(parallel=[]), ["spec.steps[0].parallel: unknown field, expected needs, by which"]),
        (
            "Workflow",
            step(**{"while": "true"}),
            ["spec.steps[0].while: unknown field, expected repeat: {until: …}"],
        ),
        ("Workflow", step(dependsOn=["a"]), ["spec.steps[0].dependsOn: unknown field, expected needs"]),
        (
            "Workflow",
            step(frobnicate=1),
            ["spec.steps[0].frobnicate: unknown field, expected one of name, run, container, steps,"],
        ),
        (
            "Workflow",
            step(run={"runtime": "python", "code_from": {}}),
            ["spec.steps[0].run.code_from: unknown field, did you mean codeFrom?"],
        ),
        (
            "Workflow",
            workflow(STEP, parallelism="3"),
            ['spec.parallelism: found "3" (string), expected an integer'],
        ),
        (
            "Workflow",
            workflow(STEP, parallelism=True),
            ["spec.parallelism: found true (boolean), expected an integer"],
        ),
        (
            "Workflow",
            workflow(STEP, parallelism=65),
            ["spec.parallelism: found 65 (integer), expected at most 64"],
        ),
        (
            "Workflow",
            workflow(STEP, parallelism=0),
            ["spec.parallelism: found 0 (integer), expected at least 1"],
        ),
        ("Workflow", workflow(STEP, timeout=30), ["spec.timeout: found 30 (integer), expected a string"]),
        (
            "Workflow",
            workflow(STEP, timeout="30 s"),
            ['spec.timeout: found "30 s" (string), expected a duration such as 500ms, 30s or 1h30m'],
        ),
        (
            "Workflow",
            workflow(STEP, outputs=[]),
            ["spec.outputs: found a list of 0 items, expected a mapping"],
        ),
        ("Workflow", workflow(), ["spec.steps: found 0 items, expected at least 1"]),
        ("Workflow", workflow(*[STEP] * 2001), ["spec.steps: found 2001 items, expected at most 2000"]),
        ("Workflow", workflow(3), ["spec.steps[0]: found 3 (integer), expected a mapping"]),
        (
            "Workflow",
            workflow({**STEP, "name": "load-data"}),
            ['spec.steps[0].name: found "load-data" (string), expected a step name: a letter, then'],
        ),
        (
            "Workflow",
            workflow(STEP, {**STEP, "name": "b"}, STEP),
            ['spec.steps[2].name: found "a", which spec.steps[0] has too, expected a name of its own'],
        ),
        (
            "Workflow",
            step(**{"with": {"a b": 1}}),
            ['spec.steps[0].with["a b"]: found the name "a b", expected a name: a letter or _, then'],
        ),
        (
            "Execution",
            execution(rerunOf={"name": "a", "uid": "\0"}),
            ['spec.rerunOf.uid: found "\\u0000" (string), expected a uid: letters, digits and -'],
        ),
        (
            "Workflow",
            step(join="al"),
            ['spec.steps[0].join: found "al" (string), expected one of all, any, finished, did'],
        ),
        (
            "Workflow",
            step(retry={"reasons": ["OOMkiled"]}),
            ['spec.steps[0].retry.reasons[0]: found "OOMkiled" (string), expected one of Error, Timeout, '],
        ),
        (
            "Workflow",
            step(run={"runtime": "python", "code": "x", "env": [{"name": "CITADEL_INPUT"}]}),
            ["spec.steps[0].run.env[0]: found 'CITADEL_INPUT', expected a name without the reserved prefix"],
        ),
        (
            "Workflow",
            step(run={"runtime": "python", "code": "x", "env": [{"name": "A", "value": 1}, {"name": 2}]}),
            [
                "spec.steps[0].run.env[0].value: found 1 (integer), expected a string",
                "spec.steps[0].run.env[1].name: found 2 (integer), expected a string",
            ],
        ),
        ("Execution", execution(inputs=[1]), ["spec.inputs: found a list of 1 item, expected a mapping"]),
        (
            "Execution",
            execution(stop="Now"),
            ['spec.stop: found "Now" (string), expected one of Cancel, Terminate'],
        ),
        (
            "Execution",
            execution(workflowRef="sales"),
            ['spec.workflowRef: found "sales" (string), expected a mapping'],
        ),
        ("Execution", execution(workflowRef=None), ["spec.workflowRef: missing, but required"]),
        ("Runtime", runtime(image=""), ["spec.image: found 0 characters, expected at least 1 character"]),
        (
            "Runtime",
            runtime(image="x" * 513),
            ["spec.image: found 513 characters, expected at most 512 char"],
        ),
        (
            "Runtime",
            runtime(language="cobol"),
            ['spec.language: found "cobol" (string), expected one of python, javascript, go, java'],
        ),
        (
            "Runtime",
            runtime(resources={"limits": {"memory": "1 GB"}}),
            ['spec.resources.limits.memory: found "1 GB" (string), expected a quantity such as'],
        ),
        (
            "Runtime",
            runtime(priorityClassName="system-node-critical"),
            ["spec.priorityClassName: found 'system-node-critical', expected a PriorityClass that"],
        ),
        ("Runtime", runtime(image="\ud800"), ["spec: found what is not valid JSON: "]),
    ],
)
def test_what_does_not_fit_is_said_in_words(kind: str, value: Any, messages: list[str]) -> None:
    texts = [problem.text for problem in problems(kind, value)]
    assert len(texts) == len(messages)
    for text, message in zip(texts, messages, strict=True):
        assert text.startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"apiVersion": "citadel.dev/v1"},
            'apiVersion: found "citadel.dev/v1" (string), expected citadel.dev/v1al',
        ),
        ({"kind": "workflow"}, 'kind: found "workflow" (string), expected Workflow'),
        ({"metadata": {}}, "metadata.name: missing, expected a name of at most 253 lower-case letters"),
        (
            {"metadata": {"name": "A_b"}},
            'metadata.name: found "A_b" (string), expected a name of at most 253',
        ),
        ({"metadata": {"name": "a" * 254}}, 'metadata.name: found "aaaa'),
        ({"metadata": 3}, "metadata: found 3 (integer), expected a mapping with a name"),
        ({"spec": []}, "spec: found a list of 0 items, expected a mapping"),
        ({"steps": []}, "steps: unknown field, did you mean spec.steps?"),
        ({"specs": {}}, "specs: unknown field, did you mean spec?"),
    ],
)
def test_the_outer_object_is_checked_too(change: dict[str, Any], message: str) -> None:
    (problem,) = problems("Workflow", workflow(STEP) | change)
    assert problem.text.startswith(message)


def test_a_word_near_to_a_known_one_gets_a_suggestion() -> None:
    listed = ", ".join(get_args(Retriable))
    value = step(join="al", retry={"reasons": ["OOMkiled", "Nonsense"]})
    assert [problem.message for problem in problems("Workflow", value)] == [
        'found "al" (string), expected one of all, any, finished, did you mean all?',
        f'found "OOMkiled" (string), expected one of {listed}, did you mean OOMKilled?',
        f'found "Nonsense" (string), expected one of {listed}',
    ]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (workflow({**STEP, "name": "load-data"}), "digits or _, did you mean load_data?"),
        (workflow({**STEP, "name": "1st"}), "at most 62 letters, digits or _"),
        (workflow({**STEP, "name": "表"}), "at most 62 letters, digits or _"),
        (workflow({**STEP, "name": "${inputs.name}"}), "at most 62 letters, digits or _"),
        (workflow({**STEP, "with": {"a b": 1}}), "digits or _, did you mean a_b?"),
        (
            workflow({"name": "a", "workflow": {"name": "Sales_Report"}}),
            "a letter or digit at both ends, did you mean sales-report?",
        ),
    ],
)
def test_a_name_that_almost_is_one_gets_a_suggestion(made: dict[str, Any], told: str) -> None:
    (found,) = problems("Workflow", made)
    assert found.message.endswith(told)


def test_what_is_retried_are_reasons() -> None:
    assert set(get_args(Retriable)) <= {str(reason) for reason in Reason}


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_object_at_all_is_said_so(value: Any) -> None:
    (problem,) = problems("Workflow", value)
    assert "expected an object with apiVersion, kind, metadata and spec" in problem.text


def test_no_message_shows_a_long_value_or_a_librarys_words() -> None:
    value = step(timeout="x" * 31, join={"a": 1}, run={"runtime": "y" * 10_000, "code": [1], "env": "z"})
    for problem in problems("Workflow", value):
        assert len(problem.message) < 250
        for jargon in ("pydantic", "http", "Input should", "valid", "tuple", "dict", "str "):
            assert jargon not in problem.message


def test_the_exception_names_the_object_and_counts_what_else_is_wrong() -> None:
    value = workflow({"name": "a"}, {"name": "b"}, {"name": "c"})
    with pytest.raises(InvalidObject) as refused:
        parse("Workflow", value)
    assert str(refused.value) == (
        "Workflow sales-report: spec.steps[0]: found no action, expected exactly one of run, container,"
        " steps, switch, wait, approval, workflow, llm, agent, tool (and 2 more problems)"
    )


def test_a_kind_that_is_not_ours_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        parse("Pod", {})


def test_problems_get_line_and_column_in_the_order_of_the_text() -> None:
    (document,) = load(
        "apiVersion: citadel.dev/v1alpha1\n"
        "kind: Workflow\n"
        "metadata: {name: w}\n"
        "spec:\n"
        "  parallelism: 100\n"
        "  steps:\n"
        "  - name: a\n"
        "    run: {runtime: python}\n"
        "    timeout: 0123\n"
    )
    located = problems_with_positions(document, [*problems("Workflow", document.value), *document.problems])
    assert [(problem.line, problem.column, dotted(problem.path)) for problem in located] == [
        (5, 3, "spec.parallelism"),
        (8, 5, "spec.steps[0].run"),
        (9, 5, "spec.steps[0].timeout"),
        (9, 14, "spec.steps[0].timeout"),
    ]


def test_titles() -> None:
    assert title("Workflow", {"metadata": {"name": "x"}}) == "Workflow x"
    assert title("Workflow", {"metadata": {}}) == "Workflow"
    assert title("Workflow", None) == "Workflow"


def test_paths_and_values_as_people_write_them() -> None:
    assert dotted(("spec", "steps", 1, "with", "a b", 'q"')) == 'spec.steps[1].with["a b"]["q\\""]'
    assert found("x" * 100) == f'"{"x" * 58}… (string)'
    assert Problem((), "whole").text == "whole"
    assert Problem(("a",), "wrong", 3, 4).located == "3:4: a: wrong"
