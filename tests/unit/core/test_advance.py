"""One step forward: facts in, events out; and what it costs."""

import time

import pytest

from citadel.core import events as ev
from citadel.core.advance import advance
from citadel.core.state import State
from citadel.core.values import Inline, MissingValues, Stored, Values
from engine import Run, plan, step


def test_created_leads_to_a_ready_step_and_a_wanted_sandbox() -> None:
    run = Run(plan(step("a")))
    assert [type(event).__name__ for event, _ in run.log] == ["Created", "StepReady", "SandboxWanted"]


def test_a_result_carries_the_next_assignment() -> None:
    run = Run(plan(step("a"), step("b")))
    run.register()
    outcome = run.end("a")
    assert outcome.step == "b"
    assert [type(event).__name__ for event in outcome.events] == ["AttemptSucceeded", "StepReady", "Assigned"]


def test_nothing_new_appends_nothing() -> None:
    run = Run(plan(step("a")))
    assert run.post().events == ()


def test_each_fact_is_answered() -> None:
    run = Run(plan(step("a")))
    run.register()
    result = run.result("a")
    assert run.post(result, result, ev.SandboxRegistered("cx-unknown")).accepted == (True, False, False)


def test_a_value_that_must_be_loaded_first_leaves_everything_as_it_was() -> None:
    compiled = plan(step("a"), step("b", arguments={"x": "${steps.a.output.x}"}))
    run = Run(compiled)
    run.register()
    digest = "sha256:" + "1" * 64
    sandbox = run.state.steps["a"].sandbox
    assert sandbox is not None
    fact = ev.AttemptSucceeded("a", 1, sandbox, Stored(digest, 5000))
    with pytest.raises(MissingValues) as caught:
        advance(run.state, [fact], run.now, Values())
    assert caught.value.digests == {digest}
    values = Values(loaded={digest: {"x": 1}})
    assert advance(run.state, [fact], run.now, values).accepted == (True,)


def test_missing_values_are_asked_for_together() -> None:
    names = [f"s{number}" for number in range(5)]
    total = "${" + " + ".join(f"size(steps.{name}.output)" for name in names) + "}"
    run = Run(plan(*(step(name, needs=[]) for name in names), step("all", needs=[], arguments={"n": total})))
    run.register()
    for number, name in enumerate(names[:-1]):
        run.end(name, f"{number}" * 2000)
    last = run.result("s4", "4" * 2000)
    with pytest.raises(MissingValues) as caught:
        advance(run.state, [last], run.now, Values())
    assert len(caught.value.digests) == 5


def test_an_unknown_execution_admits_nothing_but_its_creation() -> None:
    outcome = advance(State(), [ev.StopRequested("Cancel", "CancelRequested", "")], 0.0, Values())
    assert (outcome.accepted, outcome.events) == ((False,), ())


def test_a_step_late_in_a_long_chain_costs_what_an_early_one_does() -> None:
    def best(count: int) -> float:
        later = (step(f"s{n}", arguments={"x": f"${{steps.s{n - 1}.output}}"}) for n in range(1, count))
        compiled = plan(step("s0"), *later)
        return min(_chain(compiled) for _ in range(3))

    assert best(400) < 5 * best(20), "the cost of a step grows with the length of the chain"


def test_joining_many_steps_costs_no_more_than_their_number() -> None:
    def best(count: int) -> float:
        names = [f"s{number}" for number in range(count)]
        total = {"all": [f"${{steps.{name}.output}}" for name in names]}
        beside = (step(name, needs=[]) for name in names)
        compiled = plan(*beside, step("all", needs=[], arguments=total), parallelism=1)
        return min(_chain(compiled) for _ in range(2))

    assert best(400) < 60 * best(20), "the cost of a step grows faster than the number of those beside it"


def test_the_thousandth_item_of_a_loop_costs_what_the_tenth_does() -> None:
    def best(count: int) -> float:
        looped = step("all", forEach={"items": list(range(count))}, arguments={"x": "${index}"})
        compiled = plan(looped, parallelism=1)
        return min(_chain(compiled) for _ in range(3))

    assert best(300) < 5 * best(10), "the cost of an item grows with their number"


def _chain(compiled: object) -> float:
    """Seconds per step of an execution in one sandbox, without the checks of Run."""
    state, now = State(), 1000.0
    created = ev.Created("n", "ns", "u", "w", "d", Inline({}))
    state = advance(state, [created], now, Values(), plan=compiled).state  # type: ignore[arg-type]
    sandbox = next(iter(state.sandboxes))
    begin = time.process_time()
    outcome = advance(state, [ev.SandboxRegistered(sandbox)], now, Values(), claim=sandbox)
    count = 0
    while outcome.state.finished is None:
        assert outcome.step is not None
        now += 0.0001
        result = ev.AttemptSucceeded(outcome.step, 1, sandbox, Inline(count))
        outcome = advance(outcome.state, [result], now, Values(), claim=sandbox)
        count += 1
    assert outcome.state.finished.phase == "Succeeded"
    return (time.process_time() - begin) / count
