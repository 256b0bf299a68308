"""What is told of a difference between what an execution came to and what a test expects."""

from typing import Any

import pytest

from citadel.api.suite import Expected
from citadel.core.failures import Failure
from citadel.local.judging import covers, differences, differing
from citadel.local.records import Record, StepRecord


@pytest.mark.parametrize(
    ("actual", "wanted", "told"),
    [
        pytest.param({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, [], id="the same"),
        pytest.param(1, 1.0, [], id="an integer and the same number"),
        pytest.param(0.1 + 0.2, 0.3, [], id="what was computed"),
        pytest.param(10**17, 10**17 + 1, [f"o: found {10**17}, expected {10**17 + 1}"], id="large integers"),
        pytest.param(True, 1, ["o: found true, expected 1"], id="true is no number"),
        pytest.param(0, False, ["o: found 0, expected false"], id="nor is false"),
        pytest.param("1", 1, ['o: found "1", expected 1'], id="a text is none either"),
        pytest.param(None, {}, ["o: found null, expected {}"], id="nothing is no mapping"),
        pytest.param([], {}, ["o: found [], expected {}"], id="a list is no mapping"),
        pytest.param({"a": {"b c": 1}}, {"a": {"b c": 2}}, ['o.a["b c"]: found 1, expected 2'], id="deep"),
        pytest.param({}, {"a": [1]}, ["o.a: missing, expected a list of 1 item"], id="missing"),
        pytest.param({"a": "x"}, {}, ['o.a: found "x", expected nothing'], id="too much"),
        pytest.param([1, 2], [1], ["o: found 2 items, expected 1"], id="a longer list"),
        pytest.param([3], [4, 5], ["o[0]: found 3, expected 4", "o: found 1 items, expected 2"], id="both"),
        pytest.param("a\nb\n", "a\nc\n", ['o, line 2: found "b\\n", expected "c\\n"'], id="texts by lines"),
        pytest.param("a\n", "a\nb", ['o, line 2: found no more lines, expected "b"'], id="a shorter text"),
        pytest.param("a\nb", "a\n", ['o, line 2: found "b", expected no more lines'], id="a longer text"),
    ],
)
def test_values_are_compared_deeply(actual: Any, wanted: Any, told: list[str]) -> None:
    assert list(differing(actual, wanted, ("o",))) == told


@pytest.mark.parametrize(
    ("path", "instance", "covered"),
    [
        ("load", "load", True),
        ("load", "load[3]", True),
        ("load", "load[3].get", True),
        ("load[3]", "load[3].get", True),
        ("load[3]", "load[4].get", False),
        ("load.get", "load[4].get", True),
        ("bill", "bill/charge", True),
        ("bill/load", "bill/load[1]", True),
        ("lo", "load", False),
        ("load.get", "load", False),
        ("book", "book.compensate", False),
        ("book.compensate", "book.compensate", True),
        ("fix", "fix.onError.tell", False),
        ("fix.onError", "fix.onError.tell", True),
        ("fix", "fix[1].write.compensate", False),
    ],
)
def test_a_path_stands_for_what_is_within_it_but_not_for_what_comes_after_it(
    path: str, instance: str, covered: bool
) -> None:
    assert covers(path, instance) is covered


FAILURE = Failure.cut("Error", "no seat left")
RECORD = Record(
    phase="Failed",
    reason="Error",
    message="step c: no seat left",
    step="c",
    inputs={"n": 1},
    outputs={},
    steps={
        "a": StepRecord(
            "a", "Succeeded", output=[1], has_output=True, arguments={"x": 1}, attempts=1, log="hi\n"
        ),
        "b": StepRecord("b", "Skipped", "when: false"),
        "c": StepRecord("c", "Failed", "Error: no seat left", arguments={}, attempts=2, failure=FAILURE),
        "a.compensate": StepRecord("a.compensate", "Succeeded", attempts=1),
    },
    ran=["a", "c", "a.compensate"],
    spans={"a": (1, 2), "c": (3, 5), "a.compensate": (6, 8)},
)


def told(**expected: Any) -> list[str]:
    return list(differences(RECORD, Expected.model_validate({"phase": "Failed", **expected})))


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"error": {}},
        {"error": {"step": "c", "reason": "Error", "message": "^step c: no .* left$"}},
        {"steps": {"a": {"output": [1], "with": {"x": 1}, "attempts": 1, "log": "^hi$"}}},
        {"steps": {"c": {"status": "Failed", "error": {"reason": "Error", "message": "seat"}}}},
        {"steps": {"b": {"status": "Skipped"}, "d": {"status": "Pending"}}},
        {"ran": ["a", "c", "a.compensate"], "order": ["a", "c", "a.compensate"]},
        {"checks": ["steps.a.output[0] == inputs.n", "steps.c.error.reason == 'Error'", "size(output) == 0"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_as_expected_is_not_told(expected: dict[str, Any]) -> None:
    assert told(**expected) == []


@pytest.mark.parametrize(
    ("expected", "difference"),
    [
        (
            {"phase": "Succeeded"},
            "phase: found Failed at step c: Error: step c: no seat left, expected Succeeded",
        ),
        ({"error": {"step": "a"}}, "error.step: found c, expected a"),
        ({"error": {"reason": "Timeout"}}, "error.reason: found Error (step c: no seat left), expected "),
        (
            {"error": {"message": "^no"}},
            "error.message: found 'step c: no seat left', expected what matches '^no'",
        ),
        (
            {"steps": {"c": {"status": "Succeeded"}}},
            "steps.c: the step is Failed (Error: no seat left), expected Succeeded",
        ),
        ({"steps": {"a": {"output": None}}}, "steps.a.output: found a list of 1 item, expected null"),
        (
            {"steps": {"b": {"output": 1}}},
            "steps.b.output: found none, as the step is Skipped (when: false), expected 1",
        ),
        ({"steps": {"b": {"with": {}}}}, "steps.b.with: found none, as the step is Skipped (when: false)"),
        ({"steps": {"a": {"with": {"x": 2}}}}, "steps.a.with.x: found 1, expected 2"),
        (
            {"steps": {"a.compensate": {"attempts": 3}}},
            'steps["a.compensate"].attempts: found 1, expected 3',
        ),
        ({"steps": {"a": {"error": {}}}}, "steps.a.error: found none, as the step is Succeeded"),
        ({"steps": {"a": {"log": "ho"}}}, "steps.a.log: found \"hi\\n\", expected what matches 'ho'"),
        ({"ran": ["a", "c"]}, "ran: found also a.compensate"),
        (
            {"ran": ["a", "b", "c", "a.compensate"]},
            "ran: b did not run: it is Skipped (when: false)",
        ),
        ({"order": ["c", "a"]}, "order: a began before c had ended"),
        ({"order": ["a", "b"]}, "order: b did not run"),
        ({"checks": ["inputs.n > 1"]}, "checks: inputs.n > 1: found false, expected true"),
        ({"checks": ["steps.b.output == 1"]}, "checks: steps.b.output == 1: steps.b.output does not exist"),
    ],
    ids=str,
)  # fmt: skip
def test_a_difference_is_one_sentence(expected: dict[str, Any], difference: str) -> None:
    (found,) = told(**expected)
    assert found.startswith(difference)


def test_of_many_differences_the_first_are_told_and_the_rest_counted() -> None:
    outputs = {str(number): number for number in range(50)}
    record = Record("Succeeded", "Completed", "", outputs=dict.fromkeys(outputs))
    told = list(differences(record, Expected(outputs=outputs)))
    assert len(told) == 13
    assert told[-1] == "and 38 further differences"


def test_an_error_that_is_expected_and_does_not_come_is_told_once() -> None:
    record = Record("Succeeded", "Completed", "")
    (told,) = differences(record, Expected.model_validate({"error": {"reason": "Error"}}))
    assert told == "phase: found Succeeded, expected Failed"
