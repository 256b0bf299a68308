"""Whose turn it is, and what becomes of those who wait for it."""

from typing import Any

import pytest

from citadel.api.workflow import WorkflowSpec
from citadel.core import events as ev
from citadel.core.decide import wake_at
from citadel.core.lookups import lookup_problems
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import compile_workflow
from citadel.core.summary import summarise
from citadel.core.tickets import Holder, Standing
from citadel.core.values import Inline
from engine import Run, plan, step

OTHER = Holder("uid-2", "other")
TAKEN = Standing((OTHER,))
UNDO = {"run": {"runtime": "python", "code": "x"}}


def run(
    inputs: dict[str, Any] | None = None,
    standing: Standing = TAKEN,
    around: tuple[str, ...] = (),
    concurrency: Any = None,
    **spec: Any,
) -> Run:
    kinds = {"type": "object", "properties": {"x": {}}}
    found = plan(step("a"), inputs=kinds, concurrency=concurrency or {}, **spec)
    return Run(found, inputs, standing=standing, around=around)


def stop(mode: str) -> ev.StopRequested:
    return ev.StopRequested(mode, "Cancelled", f"stop: {mode}")


def kinds(found: Run) -> list[str]:
    return [type(event).__name__ for event, _ in found.log]


def told(found: Run) -> tuple[str, str, str]:
    assert found.state.finished is not None
    return found.state.finished.phase, found.state.finished.reason, found.state.finished.message


def test_without_a_group_nothing_is_asked_and_nothing_recorded() -> None:
    found = Run(plan(step("a")))
    assert kinds(found) == ["Created", "StepReady", "SandboxWanted"]


def test_where_there_is_room_it_begins_in_the_same_advance() -> None:
    found = run(standing=Standing())
    assert kinds(found) == ["Created", "Queued", "Admitted", "StepReady", "SandboxWanted"]
    assert found.replayed() == found.state
    assert found.finish().phase() == "Succeeded"


def test_one_that_waits_wants_nothing_and_says_for_what() -> None:
    found = run()
    assert kinds(found) == ["Created", "Queued"]
    summary = summarise(found.state)
    assert (summary.phase, summary.reason) == ("Pending", "ConcurrencyLimit")
    assert summary.message == "waits for its turn in concurrency group 'flow' (limit 1)"
    found.sleep(100_000)
    assert kinds(found) == ["Created", "Queued"]
    found.standing = Standing()
    found.post()
    assert found.finish().phase() == "Succeeded"
    assert kinds(found).count("Admitted") == 1


def test_who_came_before_goes_before() -> None:
    found = run(standing=Standing(ahead=1))
    assert kinds(found)[-1] == "Queued"


def test_each_goes_by_its_own_limit() -> None:
    assert "Admitted" not in kinds(run(concurrency={"limit": 1}))
    assert "Admitted" in kinds(run(concurrency={"limit": 2}))


@pytest.mark.parametrize(
    ("group", "value", "named"),
    [
        ("deploy", None, "deploy"),
        ("deploy-${inputs.x}", "größe ✓", "deploy-größe ✓"),
        ("${inputs.x}", 7, "7"),
        ("${inputs.x}", True, "true"),
        ("${execution.namespace}/${execution.name}", None, "default/run"),
    ],
)
def test_a_group_is_named_by_inputs_and_execution(group: str, value: Any, named: str) -> None:
    found = run({"x": value}, concurrency={"group": group})
    assert found.state.admission is not None
    assert found.state.admission.ticket.group == named


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "found null, expected text, a number, true or false"),
        ([], "found [], expected text, a number, true or false"),
        ({"a": 1}, 'found {"a":1}, expected text, a number, true or false'),
        ("a\nb", r"found 'a\nb', expected text without control characters"),
        ("", "found 0 characters, expected 1 to 253"),
        ("x" * 254, "found 254 characters, expected 1 to 253"),
        ("x" * 5000, "found 5000 characters, expected 1 to 253"),
    ],
)
def test_what_is_no_name_of_a_group_fails(value: Any, message: str) -> None:
    found = run({"x": value}, concurrency={"group": "${inputs.x}"}, **{"finally": [step("last")]})
    assert told(found) == ("Failed", "ExpressionError", f"concurrency.group: {message}")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("${steps.a.output}", "found 'steps', expected inputs or execution"),
        ("${item}", "found 'item', expected inputs or execution"),
        ("${inputs.y}", "found inputs.y, but inputs has x"),
        ("${execution.phase}", "found execution.phase, but execution has name, namespace, uid"),
        ("${inputs.x", "found ${ without its closing }; write $${ for a literal ${"),
    ],
)
def test_what_a_group_cannot_be_named_by_is_found_before_anything_runs(group: str, message: str) -> None:
    document = {
        "inputs": {"type": "object", "properties": {"x": {}}},
        "steps": [step("a")],
        "concurrency": {"group": group},
    }
    try:
        problems = lookup_problems(compile_workflow(WorkflowSpec.model_validate(document)))
    except InvalidDefinition as error:
        problems = list(error.problems)
    assert [(problem.path, problem.message) for problem in problems] == [
        (("spec", "concurrency", "group"), message)
    ]


def test_an_input_that_is_not_there_names_no_group() -> None:
    phase, reason, message = told(run(concurrency={"group": "${inputs.x}"}))
    assert (phase, reason) == ("Failed", "ExpressionError")
    assert message.startswith("concurrency.group: ")


def test_reject_fails_at_once_and_names_who_runs() -> None:
    found = run(concurrency={"policy": "reject"}, **{"finally": [step("last")]})
    message = "no room in concurrency group 'flow' (limit 1; running: other)"
    assert told(found) == ("Failed", "ConcurrencyLimit", message)
    many = Standing(tuple(Holder(f"u{n}", f"n{n}") for n in range(5)), ahead=2)
    found = run(concurrency={"policy": "reject", "limit": 3}, standing=many)
    assert told(found)[2].endswith("(limit 3; running: n0, n1, n2 and 2 more; others wait)")


def test_reject_takes_no_place_that_is_another_ones() -> None:
    found = run(concurrency={"policy": "reject"}, standing=Standing(ahead=1))
    assert told(found)[1] == "ConcurrencyLimit"


@pytest.mark.parametrize("policy", ["queue", "cancelRunning", "reject"])
def test_who_waits_for_its_own_ancestor_fails_at_once(policy: str) -> None:
    found = run(concurrency={"policy": policy}, around=("uid-0", "uid-2"))
    phase, reason, message = told(found)
    assert (phase, reason) == ("Failed", "ConcurrencyLimit")
    assert message.startswith("waits for its own ancestor other, which waits for it")


def test_who_only_shares_with_its_ancestor_waits() -> None:
    both = Standing((OTHER, Holder("uid-3", "third")))
    assert run(concurrency={"limit": 2}, standing=both, around=("uid-2",)).state.finished is None


@pytest.mark.parametrize("mode", ["Cancel", "Terminate"])
def test_one_that_is_stopped_before_its_turn_ends_without_anything_having_run(mode: str) -> None:
    found = run(**{"finally": [step("last")]})
    found.post(stop(mode))
    assert told(found)[0] == "Cancelled"
    assert found.statuses() == {"a": "Pending", "last": "Pending"}


def test_one_that_was_admitted_ends_with_finally_also_if_it_is_cancelled_to_make_room() -> None:
    found = run(standing=Standing(), **{"finally": [step("last")]})
    found.register()
    found.post(ev.StopRequested("Cancel", "ConcurrencyLimit", "Execution newer took its place"))
    found.finish()
    assert told(found) == ("Cancelled", "ConcurrencyLimit", "Execution newer took its place")
    assert found.statuses()["last"] == "Succeeded"


def test_one_that_is_suspended_lets_others_pass_and_is_asked_again_when_it_goes_on() -> None:
    found = run()
    found.post(ev.SuspendChanged(True, 2))
    found.standing = Standing()
    found.post()
    assert "Admitted" not in kinds(found)
    found.post(ev.SuspendChanged(False, 3))
    assert "Admitted" in kinds(found)


def test_the_timeout_counts_from_its_turn() -> None:
    found = run(timeout="1h")
    assert wake_at(found.state, found.now) is None
    found.sleep(5000)
    found.standing = Standing()
    found.post()
    found.sleep(3599)
    assert found.state.finished is None
    found.sleep(1)
    assert told(found)[:2] == ("TimedOut", "DeadlineExceeded")


def test_pending_timeout_ends_who_waits_for_its_turn() -> None:
    found = run(pendingTimeout="10m", **{"finally": [step("last")]})
    found.wake()
    waited = "it waited for its turn in concurrency group 'flow' (limit 1)"
    assert told(found) == ("TimedOut", "PendingTimeout", f"not begun within 10m: {waited}")


def test_pending_timeout_ends_who_gets_no_sandbox() -> None:
    found = Run(plan(step("a"), pendingTimeout="10m", **{"finally": [step("last")]}))
    found.sleep(599)
    assert found.state.finished is None
    found.sleep(1)
    message = "not begun within 10m: none of its steps got a sandbox"
    assert told(found) == ("TimedOut", "PendingTimeout", message)


def test_pending_timeout_holds_while_its_sandboxes_cannot_start() -> None:
    found = Run(plan(step("a", retry={"reasons": ["ImagePullFailed"], "attempts": 9}), pendingTimeout="10s"))
    (name,) = found.state.sandboxes
    found.lose(name, "ImagePullFailed")
    found.sleep(10)
    assert told(found)[:2] == ("TimedOut", "PendingTimeout")


def test_pending_timeout_means_nothing_once_a_step_had_a_sandbox() -> None:
    found = Run(plan(step("a"), step("b"), pendingTimeout="10m"))
    found.register()
    found.sleep(100_000)
    found.end("a")
    found.sleep(100_000)
    assert found.state.finished is None


@pytest.mark.parametrize(
    "waits", [{"wait": {"signal": "go"}}, {"approval": {"approvers": {"users": ["jane"]}}}]
)
def test_pending_timeout_means_nothing_to_who_waits_for_people(waits: dict[str, Any]) -> None:
    found = Run(plan({"name": "first", **waits}, step("b"), pendingTimeout="10m"))
    found.sleep(100_000)
    assert found.state.finished is None
    if "wait" in waits:
        found.post(ev.SignalReceived("go", "1", Inline(None)))
        found.sleep(100_000)
        assert found.state.finished is None


def test_pending_timeout_does_not_hurry_who_is_cancelled() -> None:
    found = run(pendingTimeout="10m")
    found.post(stop("Cancel"))
    assert told(found)[0] == "Cancelled"
