"""What follows from what: order, skipping, joins, failure, retry, timeout, stop."""

from collections.abc import Mapping
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.decide import TIMEOUT_GRACE
from citadel.core.failures import Failure
from engine import Run, failure, plan, step

OUT = "${steps.%s.output}"


def answers(outcomes: Mapping[str, Any]) -> Any:
    """Attempts of steps in `outcomes` give that (exceptions: a Failure, or a list of one per attempt)."""

    def answer(name: str, attempt: int) -> Any:
        found = outcomes.get(name)
        if isinstance(found, list) and found and isinstance(found[0], Failure):
            return found[attempt - 1] if attempt <= len(found) else "late"
        return found

    return answer


S, F, K, P, C = "Succeeded", "Failed", "Skipped", "Pending", "Cancelled"

a, b = step("a"), step("b", needs=[])


@pytest.mark.parametrize(
    ("steps", "outcomes", "statuses", "phase"),
    [
        pytest.param([a], {}, [S], S, id="one step"),
        pytest.param([a, step("b"), step("c")], {}, [S, S, S], S, id="three in a row"),
        pytest.param([a, step("b")], {"a": failure()}, [F, P], F, id="nothing starts after a failure"),
        pytest.param(
            [a, step("b", when="false"), step("c")],
            {},
            [S, K, S],
            S,
            id="a skipped step satisfies who waits for it",
        ),
        pytest.param(
            [a, step("b", when="false"), step("c", arguments={"x": OUT % "b"})],
            {},
            [S, K, K],
            S,
            id="who reads a skipped step is skipped too",
        ),
        pytest.param(
            [
                a,
                step("b", when="false"),
                step("c", arguments={"x": OUT % "b"}),
                step("d", arguments={"x": OUT % "c"}),
            ],
            {},
            [S, K, K, K],
            S,
            id="skipping goes on along references",
        ),
        pytest.param(
            [a, step("b", when="false"), step("c", arguments={"x": "${steps.b.?output.orValue(7)}"})],
            {},
            [S, K, S],
            S,
            id="orValue joins branches",
        ),
        pytest.param(
            [
                a,
                step("b", when="steps.a.output > 3", needs=[]),
                step("c", when="steps.a.output <= 3", needs=[]),
            ],
            {"a": 5},
            [S, S, K],
            S,
            id="a switch by when",
        ),
        pytest.param(
            [a, step("b", when="steps.a.status == 'Succeeded'")], {}, [S, S], S, id="when reads a status"
        ),
        pytest.param([a, step("b", when="steps.a.output")], {"a": 5}, [S, F], F, id="when must be a boolean"),
        pytest.param(
            [a, step("b", arguments={"x": "${steps.a.output.ghost}"})],
            {"a": {"rows": 1}},
            [S, F],
            F,
            id="an expression's error fails the step",
        ),
        pytest.param(
            [a, b, step("c", needs=["a", "b"], join="any", when="true")],
            {},
            [S, S, S],
            S,
            id="join any with both succeeded",
        ),
        pytest.param(
            [
                step("a", when="false"),
                step("b", needs=[], when="false"),
                step("c", needs=["a", "b"], join="any"),
            ],
            {},
            [K, K, S],
            S,
            id="join any starts when all are over",
        ),
        pytest.param(
            [a, b, step("c", needs=["a", "b"], join="finished")],
            {"a": failure()},
            [F, K, S],
            F,
            id="join finished runs after a failure",
        ),
        pytest.param(
            [a, step("b"), step("c", join="finished")],
            {"a": failure()},
            [F, P, S],
            F,
            id="join finished counts steps that never started as over",
        ),
        pytest.param(
            [a, step("b", join="finished"), step("c", join="finished")],
            {"a": failure()},
            [F, S, S],
            F,
            id="cleanup in a row",
        ),
        pytest.param(
            [a, step("b", join="finished"), step("c", needs=["b"])],
            {"a": failure()},
            [F, S, P],
            F,
            id="what follows a cleanup does not start",
        ),
        pytest.param(
            [a, step("b", join="finished", arguments={"x": OUT % "a"})],
            {"a": failure()},
            [F, K],
            F,
            id="a cleanup that reads the failed step's output is skipped",
        ),
        pytest.param(
            [
                a,
                step(
                    "b", join="finished", when="steps.a.status == 'Failed' && steps.a.error.reason == 'Error'"
                ),
            ],
            {"a": failure()},
            [F, S],
            F,
            id="a cleanup sees status and error",
        ),
        pytest.param(
            [a, step("b", join="finished", retry={"attempts": 2})],
            {"a": failure(), "b": [failure()]},
            [F, S],
            F,
            id="a cleanup is retried",
        ),
        pytest.param(
            [step("a", retry={"attempts": 3})],
            {"a": [failure(), failure()]},
            [S],
            S,
            id="the third attempt succeeds",
        ),
        pytest.param(
            [step("a", retry={"attempts": 2})],
            {"a": [failure(), failure()]},
            [F],
            F,
            id="attempts counts all",
        ),
        pytest.param(
            [step("a", retry={})], {"a": [failure("InvalidCode")]}, [F], F, id="a reason that is not retried"
        ),
    ],
)
def test_how_it_ends(
    steps: list[dict[str, Any]], outcomes: dict[str, Any], statuses: list[str], phase: str
) -> None:
    run = Run(plan(*steps)).finish(answers(outcomes))
    assert list(run.statuses().values()) == statuses
    assert run.phase() == phase


def test_join_any_does_not_wait_for_the_slow_one() -> None:
    run = Run(plan(a, b, step("c", needs=["a", "b"], join="any"), parallelism=3))
    run.register()
    run.sleep(0.3)
    run.register()
    assert run.running() == ["a", "b"]
    run.end("b")
    assert "c" in run.running()
    assert "a" in run.running()


def test_join_any_waits_for_what_it_reads() -> None:
    run = Run(plan(a, b, step("c", needs=["a", "b"], join="any", arguments={"x": OUT % "a"})))
    run.register()
    run.sleep(0.3)
    run.register()
    run.end("b")
    assert run.running() == ["a"]
    run.end("a", 5)
    assert run.running() == ["c"]
    assert run.payload("c")["arguments"] == {"x": 5}


def test_running_siblings_end_by_themselves_and_nothing_new_starts() -> None:
    run = Run(plan(a, b, step("c", needs=[]), step("d", needs=["b"]), parallelism=2))
    run.register()
    run.sleep(0.3)
    run.register()
    assert run.running() == ["a", "b"]
    run.end("a", failure(message="first"))
    assert run.state.finished is None
    assert run.running() == ["b"]
    assert run.statuses()["c"] == K
    assert "not started, because step a failed" in (run.state.steps["c"].message or "")
    run.end("b", failure(message="second"))
    assert run.phase() == F
    assert run.state.finished == ev.Finished("Failed", "Error", "step a: first", step="a")


def test_a_step_that_backs_off_when_another_fails_keeps_its_own_failure() -> None:
    run = Run(plan(step("a", retry={}), b, parallelism=2))
    run.register()
    run.sleep(0.3)
    run.register()
    run.end("a", failure(message="mine"))
    run.end("b", failure(message="final"))
    assert run.statuses() == {"a": F, "b": F}
    assert run.state.steps["a"].failure == failure(message="mine")
    assert run.state.finished is not None
    assert run.state.finished.step == "b"


def test_a_retry_waits_for_its_pause() -> None:
    run = Run(plan(step("a", retry={"backoff": {"initial": "5s"}})))
    run.register()
    run.end("a", failure())
    assert run.statuses()["a"] == "BackingOff"
    run.sleep(4.9)
    assert run.poll() == []
    run.sleep(0.1)
    assert run.poll() == ["a"]
    assert run.state.steps["a"].attempt == 2


def test_a_silent_sandbox_is_given_up_after_timeout_and_grace() -> None:
    run = Run(plan(step("a", timeout="10s", retry={"attempts": 2})))
    run.register()
    late = run.result("a", "late")
    run.sleep(10 + TIMEOUT_GRACE - 0.1)
    assert run.running() == ["a"]
    run.sleep(0.1)
    assert run.statuses()["a"] == "BackingOff"
    found = run.state.steps["a"].failure
    assert found is not None
    assert (found.reason, found.message) == (
        "Timeout",
        "no result within the timeout of 10s, nor 30s after it",
    )
    assert run.usable() == []
    assert run.post(late).accepted == (False,)
    assert run.finish().phase() == S


def test_the_workflow_timeout_ends_it_at_once() -> None:
    run = Run(plan(a, timeout="1m"))
    run.register()
    run.sleep(60)
    assert (run.phase(), run.state.finished and run.state.finished.reason) == ("TimedOut", "DeadlineExceeded")
    assert run.usable() == []


def test_a_rejected_execution_is_over() -> None:
    from citadel.core.decide import wake_at
    from citadel.core.facts import admissible
    from citadel.core.folding import apply
    from citadel.core.state import State

    fact = ev.Rejected("n", "d", "u", "w", failure("InvalidInputs", "region: missing"))
    state = apply(State(), fact, 5.0)
    assert state.finished == ev.Finished("Failed", "InvalidInputs", "region: missing")
    assert wake_at(state, 5.0) is None
    assert not admissible(state, fact)
    assert not admissible(state, ev.StopRequested("Cancel", "Cancelled", "stop: Cancel"))
