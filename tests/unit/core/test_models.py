"""Steps that ask a model: what they want, what becomes of the answer, and what it has cost."""

from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.models import wanted
from citadel.core.records import from_json, to_json
from citadel.core.values import Inline, Values
from engine import Run, failure, plan, step

USAGE = ev.Usage("writer", "scripted", 10, 5, 2_000_000)


def ask(name: str = "ask", prompt: str = "hello", **fields: Any) -> dict[str, Any]:
    llm = {"model": "writer", "prompt": prompt, **fields.pop("llm", {})}
    return {"name": name, "llm": llm, **fields}


def answer(
    run: Run, output: Any = None, failure: Failure | None = None, step: str = "ask", attempt: int = 1
) -> None:
    given = None if failure is not None else Inline(output)
    run.post(ev.ModelAnswered(step, attempt, given, failure, USAGE))


def payloads(run: Run) -> dict[str, Any]:
    """What is asked, by step."""
    values = Values(loaded=dict(run.store))
    found: dict[str, Any] = {call.step: values.get(call.payload) for call in wanted(run.state)}
    return {name: payload["llm"] for name, payload in found.items()}


def test_what_is_asked_is_evaluated_and_what_is_answered_is_the_output() -> None:
    given = ask(prompt="What is ${inputs.x} in ${inputs.list}?", llm={"system": "Be brief."})
    run = Run(plan(given, outputs={"said": "${steps.ask.output}"}), {"x": 3, "list": [1, {"a": "ü"}]})
    assert payloads(run) == {"ask": {"prompt": 'What is 3 in [1,{"a":"ü"}]?', "system": "Be brief."}}
    answer(run, "three")
    assert run.outputs() == {"said": "three"}
    assert run.state.usage == run.state.steps["ask"].usage == USAGE


def test_each_attempt_and_item_is_a_call_of_its_own_and_all_of_them_count() -> None:
    run = Run(plan(ask(forEach={"items": ["a", "b"]}, prompt="${item}", retry={"attempts": 2})))
    assert payloads(run) == {"ask[0]": {"prompt": "a"}, "ask[1]": {"prompt": "b"}}
    answer(run, failure=failure("ModelUnavailable"), step="ask[0]")
    run.wake()
    assert [call.attempt for call in sorted(wanted(run.state), key=lambda call: call.step)] == [2, 1]
    answer(run, "A", step="ask[0]", attempt=2)
    answer(run, "B", step="ask[1]")
    assert run.state.steps["ask[0]"].usage.calls == 2  # type: ignore[union-attr]
    assert run.state.usage.cost == 3 * USAGE.cost  # type: ignore[union-attr]
    assert run.phase() == "Succeeded"


@pytest.mark.parametrize("reason", ["BudgetExceeded", "ModelError", "Cancelled"])
def test_what_would_fail_again_is_not_asked_again(reason: str) -> None:
    run = Run(plan(ask(retry={"attempts": 5})))
    answer(run, failure=failure(reason))
    assert run.phase() == "Failed"
    assert run.state.finished.reason == reason  # type: ignore[union-attr]


def test_a_call_of_which_nothing_is_heard_ends_with_its_time_and_is_made_again() -> None:
    run = Run(plan(ask(timeout="1m", retry={"attempts": 2})))
    run.wake()
    assert run.state.steps["ask"].status == "BackingOff"
    run.wake()
    assert [call.attempt for call in wanted(run.state)] == [2]
    run.wake()
    assert run.state.finished.reason == "Timeout"  # type: ignore[union-attr]


def test_an_answer_of_an_earlier_attempt_changes_nothing() -> None:
    run = Run(plan(ask(retry={"attempts": 2})))
    answer(run, failure=failure("RateLimited"))
    run.wake()
    answer(run, "late", attempt=1)
    assert [call.attempt for call in wanted(run.state)] == [2]


def test_an_answer_that_does_not_fit_the_schema_is_no_output() -> None:
    run = Run(plan(ask(outputSchema={"type": "object"})))
    answer(run, "text")
    assert run.state.finished.reason == "InvalidOutput"  # type: ignore[union-attr]


def test_a_handler_answers_where_the_model_does_not() -> None:
    given = ask(onError={"output": "${error.reason}"})
    run = Run(plan(given, outputs={"said": "${steps.ask.output}"}))
    answer(run, failure=failure("BudgetExceeded"))
    assert run.outputs() == {"said": "BudgetExceeded"}


def test_a_cancelled_execution_waits_for_the_call_and_counts_it() -> None:
    run = Run(plan(ask()))
    run.post(ev.StopRequested("Cancel", "Cancelled", "stop"))
    assert run.state.finished is None
    answer(run, failure=failure("Cancelled"))
    assert run.phase() == "Cancelled"
    assert run.state.usage == USAGE


def test_a_question_of_nothing_is_refused_before_it_costs_anything() -> None:
    run = Run(plan(ask(prompt="${inputs.x}")), {"x": " \n"})
    assert run.state.finished.reason == "ExpressionError"  # type: ignore[union-attr]
    assert "llm.prompt: found nothing but spaces" in run.state.finished.message  # type: ignore[union-attr]


def test_the_same_question_is_asked_once_where_the_step_has_a_cache() -> None:
    flow = plan(ask("one", cache={}), ask("two", cache={"key": 2}), step("other"))
    run = Run(flow)
    keys = {name: run.state.steps[name].cache for name in ("one",)}
    assert keys["one"]
    answer(run, "said", step="one")
    assert run.state.steps["two"].cache not in (None, keys["one"])


def test_events_of_calls_are_read_as_they_were_written() -> None:
    for event in (
        ev.ModelAnswered("ask", 1, Inline("x"), None, USAGE),
        ev.ModelAnswered("ask", 1, None, failure("ModelError"), None),
        ev.ModelWanted("ask", 2, Inline({"llm": {}}), 5.0, "sha256:1"),
    ):
        assert from_json(type(event).__name__, to_json(event)) == event
