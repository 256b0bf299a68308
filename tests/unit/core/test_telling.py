"""Steps as views show them: since when each try waited, ran and ended."""

from citadel.core import events as ev
from citadel.core import telling
from citadel.core.children import child_name
from citadel.core.state import State
from citadel.core.telling import Told, news
from engine import Run, failure, plan, step

RETRY = {"attempts": 3, "backoff": {"initial": "5s", "factor": 1}}


def told(run: Run, name: str) -> Told:
    return telling.told(run.state, name, run.state.steps[name])


def tries(run: Run, name: str) -> list[tuple[float, float | None, float, str]]:
    """The tries of a step, in seconds since the beginning."""
    return [
        (
            one.ready_at - 1000,
            None if one.began_at is None else one.began_at - 1000,
            one.ended_at - 1000,
            one.reason,
        )
        for one in told(run, name).tries
    ]


def test_each_try_has_its_own_times_and_reason() -> None:
    run = Run(plan(step("a", retry=RETRY)))
    run.sleep(0.5)
    run.register()
    run.sleep(2)
    run.end("a", failure("Error"))
    run.wake()
    run.poll()
    run.sleep(1)
    run.end("a", 7)
    assert tries(run, "a") == [(0, 0.5, 2.5, "Error")]
    found = told(run, "a")
    assert (found.ready, found.began, found.finished) == (1007.5, 1007.5, 1008.5)
    assert (found.started, found.attempt) == (1000.5, 2)


def test_a_sandbox_that_is_lost_before_the_code_began_is_a_try_that_never_did() -> None:
    run = Run(plan(step("a")))
    run.sleep(3)
    run.lose(run.usable()[0])
    assert tries(run, "a") == [(0, None, 3, "SandboxLost")]
    assert (told(run, "a").ready, told(run, "a").began) == (1003, None)


def test_executions_that_a_step_waited_for_are_tries_too() -> None:
    retry = {**RETRY, "reasons": ["ChildFailed"]}
    run = Run(plan({"name": "call", "workflow": {"name": "other"}, "retry": retry}))
    run.sleep(2)
    run.post(ev.ChildFinished("call", 1, "Failed", None, failure("ChildFailed")))
    assert told(run, "call").began is None
    run.wake()
    assert tries(run, "call") == [(0, 0, 2, "ChildFailed")]
    found = told(run, "call")
    assert (found.began, found.execution) == (1007, child_name("run", "uid-1", "call", 2))


def test_loops_say_how_many_there_are_and_steps_of_finally_that_they_are() -> None:
    loop = step("each", forEach={"items": [1, 2, 3], "parallelism": 1})
    run = Run(plan(loop, **{"finally": [step("last")]}))
    run.sleep(1)
    assert (told(run, "each").total, told(run, "each").began) == (3, 1000)
    assert (told(run, "each[0]").total, told(run, "last").final, told(run, "each").final) == (
        None,
        True,
        False,
    )


def test_news_are_the_steps_that_differ() -> None:
    run = Run(plan(step("a"), step("b")))
    assert {one.name for one in news(State(), run.state)} == {"a", "b"}
    before = run.state
    assert not list(news(before, run.state))
    run.register()
    assert [one.name for one in news(before, run.state)] == ["a"]


def test_another_iteration_is_news_of_its_loop() -> None:
    run = Run(plan(step("again", repeat={"max": 2})))
    run.register()
    before = run.state
    run.end("again[1]", 1)
    assert {one.name for one in news(before, run.state)} == {"again", "again[1]", "again[2]"}
    assert told(run, "again").total == 2
