"""The control flow of workflows: what runs, how often, and what comes of it."""

import re
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.values import Inline
from engine import Run, failure, plan, step

S, F, K = "Succeeded", "Failed", "Skipped"


def group(name: str, *steps: dict[str, Any], output: Any = "x", **fields: Any) -> dict[str, Any]:
    return {"name": name, "steps": list(steps), "output": output, **fields}


def act(name: str, **action: Any) -> dict[str, Any]:
    """A step without a sandbox."""
    return {"name": name, **action}


class Script:
    """What attempts give by definition: values in turn, the last one again; remembers what ran on what."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.ran = given, list[str]()

    def __call__(self, name: str, attempt: int) -> Any:
        self.ran.append(name)
        found = self.given.get(name)
        if not isinstance(found, list):
            return found
        return found[min(attempt, len(found)) - 1]


def run(*steps: dict[str, Any], given: dict[str, Any] | None = None, inputs: Any = None, **spec: Any) -> Run:
    script = Script(given or {})
    declared = {"inputs": {"type": "object", "additionalProperties": True}} if inputs else {}
    found = Run(plan(*steps, **declared, **spec), inputs=inputs)
    found.finish(script)
    assert found.replayed() == found.state
    found.ran = script.ran  # type: ignore[attr-defined]
    return found


ITEMS = {"items": "${inputs.list}"}
PAY = {"code": "x", "runtime": "python"}


def looped(name: str = "load", **for_each: Any) -> dict[str, Any]:
    return step(name, forEach={**ITEMS, **for_each}, arguments={"x": "${item}", "i": "${index}"})


def test_a_step_runs_for_each_item_and_gives_their_outputs_in_order() -> None:
    found = run(
        looped(), inputs={"list": ["a", "b", "c"]}, given={f"load[{n}]": n * 10 for n in range(3)},
        outputs={"all": "${steps.load.output}"},
    )  # fmt: skip
    assert found.outputs() == {"all": [0, 10, 20]}
    assert found.payload("load[1]")["arguments"] == {"x": "b", "i": 1}


def test_a_map_is_looped_over_in_the_order_of_its_keys() -> None:
    found = run(looped(), inputs={"list": {"b": 2, "a": 1}})
    assert found.payload("load[0]")["arguments"] == {"x": {"key": "a", "value": 1}, "i": 0}


def test_no_items_give_an_empty_list() -> None:
    assert run(looped(), inputs={"list": []}, outputs={"all": "${steps.load.output}"}).outputs() == {
        "all": []
    }


@pytest.mark.parametrize(
    ("found", "words"), [(7, "expected a list or a map"), ([0] * 10_001, "at most 10000")]
)
def test_what_cannot_be_looped_over_fails_the_step(found: Any, words: str) -> None:
    ended = run(looped(), inputs={"list": found}).state.finished
    assert ended is not None
    assert ended.reason == "ExpressionError"
    assert words in ended.message


def test_no_more_items_are_under_way_than_the_loop_allows() -> None:
    found = Run(plan(looped(parallelism=2), parallelism=8), inputs={"list": [1] * 6})
    most = 0
    for _ in range(200):
        if found.state.finished is not None:
            break
        found.register()
        found.poll()
        most = max(most, found.state.scopes["load"].running)
        for name in found.running():
            found.end(name)
    assert most == 2
    assert found.phase() == S


def test_the_first_item_that_fails_ends_the_loop() -> None:
    found = run(looped(parallelism=1), inputs={"list": [0, 1, 2]}, given={"load[1]": failure()})
    assert found.phase() == F
    assert found.ran == ["load[0]", "load[1]"]  # type: ignore[attr-defined]
    assert found.statuses() == {"load": F, "load[0]": S, "load[1]": F}


def test_without_fail_fast_all_items_run_and_what_failed_is_null() -> None:
    found = run(
        looped(failFast=False), inputs={"list": [0, 1, 2]}, given={"load[0]": 5, "load[1]": failure()},
        outputs={"all": "${steps.load.output}", "why": "${steps.load.error.message}"},
    )  # fmt: skip
    assert found.outputs() == {"all": [5, None, None], "why": "1 of 3 items failed; load[1]: boom"}


def test_a_condition_that_names_the_item_is_asked_for_each() -> None:
    asked = {**looped(), "when": "item > 1"}
    found = run(asked, inputs={"list": [1, 2]}, given={"load[1]": 7}, outputs={"all": "${steps.load.output}"})
    assert found.outputs() == {"all": [None, 7]}


def test_loops_nest_and_inner_steps_see_the_items_around_them() -> None:
    inner = step("cell", forEach={"items": "${item}"}, arguments={"x": "${item}", "list": "${inputs.list}"})
    rows = group("row", inner, output="${steps.cell.output}", forEach=ITEMS)
    given = {f"row[{r}].cell[{c}]": r * 10 + c for r in range(2) for c in range(2)}
    found = run(rows, inputs={"list": [[1, 2], [3, 4]]}, given=given, outputs={"all": "${steps.row.output}"})
    assert found.outputs() == {"all": [[0, 1], [10, 11]]}
    assert found.payload("row[1].cell[0]")["arguments"]["x"] == 3


def test_it_repeats_until_the_condition_holds() -> None:
    again = step(
        "fix",
        repeat={"until": "output.n > 2", "max": 5},
        arguments={"n": "${iteration}", "last": "${previous.?n.orValue(-1)}"},
    )
    given = {f"fix[{n}]": {"n": n} for n in range(1, 6)}
    found = run(again, given=given, outputs={"n": "${steps.fix.output.n}"})
    assert found.outputs() == {"n": 3}
    assert [found.payload(f"fix[{n}]")["arguments"]["last"] for n in (1, 2, 3)] == [-1, 1, 2]


def test_a_loop_that_never_holds_fails_after_its_iterations() -> None:
    found = run(step("fix", repeat={"until": "false", "max": 3}))
    assert found.state.finished is not None
    assert found.state.finished.reason == "MaxIterations"
    assert len(found.ran) == 3  # type: ignore[attr-defined]


def test_without_until_there_are_as_many_iterations_as_it_says() -> None:
    found = run(
        step("fix", repeat={"max": 3}), given={"fix[3]": "last"}, outputs={"n": "${steps.fix.output}"}
    )
    assert found.outputs() == {"n": "last"}


def test_iterations_wait_for_the_delay_between_them() -> None:
    waiting = group(
        "loop", step("a"), output="${steps.a.output}", repeat={"until": "output == 3", "delay": "10s"}
    )
    assert run(waiting, given={f"loop[{n}].a": n for n in range(1, 4)}).now >= 1020


def test_outside_sees_only_the_output_of_a_group() -> None:
    found = run(
        step("list"), group("both", step("a", arguments={"x": "${steps.list.output}"}), step("b", needs=[]),
                            output={"a": "${steps.a.output}", "b": "${steps.b.output}"}),
        given={"list": 1, "both.a": 2, "both.b": 3}, outputs={"it": "${steps.both.output}"},
    )  # fmt: skip
    assert found.outputs() == {"it": {"a": 2, "b": 3}}


def test_a_group_fails_with_the_step_in_it_and_nothing_more_of_it_starts() -> None:
    found = run(group("g", step("a"), step("b")), given={"g.a": failure()})
    assert found.phase() == F
    assert found.statuses() == {"g": F, "g.a": F, "g.b": "Pending"}


def test_a_switch_takes_the_first_case_that_holds() -> None:
    route = act(
        "route", switch={"cases": [{"when": "inputs.n > 9", "value": "big"}, {"when": "inputs.n > 4",
                                    "value": {"is": "${inputs.n}"}}], "default": "small"},
    )  # fmt: skip
    for n, value in ((10, "big"), (5, {"is": 5}), (1, "small")):
        found = run(route, inputs={"n": n}, outputs={"r": "${steps.route.output}"})
        assert found.outputs() == {"r": value}


def test_a_switch_without_a_case_that_holds_is_skipped() -> None:
    found = run(act("route", switch={"cases": [{"when": "false", "value": 1}]}), step("b"))
    assert found.statuses() == {"route": K, "b": S}


def test_it_waits_for_a_time() -> None:
    found = run(act("a", wait={"for": "1h"}), act("b", wait={"until": "1970-01-01T03:00:00Z"}))
    assert found.now == 10800


def test_a_signal_may_come_early_and_counts_once() -> None:
    wait = [act("a", wait={"signal": "paid"}, needs=[]), act("b", wait={"signal": "paid"}, needs=[])]
    found = Run(plan(*wait, outputs={"a": "${steps.a.output}", "b": "${steps.b.output}"}))
    assert found.post(ev.SignalReceived("paid", "k1", Inline(1))).accepted == (True,)
    assert found.post(ev.SignalReceived("paid", "k1", Inline(1))).accepted == (False,)
    assert found.statuses() == {"a": S, "b": "Waiting"}
    found.post(ev.SignalReceived("paid", "k2", Inline(2)))
    assert found.outputs() == {"a": 1, "b": 2}


def test_a_signal_that_never_comes_fails_the_step_in_time() -> None:
    found = run(act("a", wait={"signal": "paid"}, timeout="1m"))
    assert found.state.finished is not None
    assert found.state.finished.reason == "Timeout"


APPROVAL = {"approvers": {"groups": ["finance"]}}


def test_an_approval_gives_what_was_decided_and_a_rejection_fails() -> None:
    for approved in (True, False):
        found = Run(plan(act("ok", approval=APPROVAL), outputs={"ok": "${steps.ok.output.by}"}))
        found.post(ev.ApprovalDecided("ok", approved, "jane", "fine", Inline({"limit": 3}), 1001.0))
        assert found.phase() == (S if approved else F)
        if approved:
            assert found.outputs() == {"ok": "jane"}
        else:
            assert found.state.finished is not None
            assert found.state.finished.reason == "Rejected"


def test_an_approval_nobody_decides_times_out_as_it_says() -> None:
    assert run(act("ok", approval=APPROVAL, timeout="2d")).state.finished.reason == "Timeout"  # type: ignore[union-attr]
    assert run(act("ok", approval=APPROVAL, timeout="2d", onTimeout="approve")).phase() == S


def test_another_workflow_is_waited_for_and_run_again_if_it_failed() -> None:
    child = {"name": "sub", "workflow": {"name": "other"}, "with": {"x": 1}}
    child["retry"] = {"attempts": 2}
    found = Run(plan(child, outputs={"o": "${steps.sub.output.n}"}))
    found.post(ev.ChildFinished("sub", 1, "Failed", None, failure("ChildFailed")))
    found.wake()
    assert found.state.steps["sub"].attempt == 2
    found.post(ev.ChildFinished("sub", 2, "Succeeded", Inline({"n": 3})))
    assert found.outputs() == {"o": 3}


def test_no_other_execution_begins_while_everything_is_suspended() -> None:
    found = Run(plan(act("bill", workflow={"name": "w"}, retry={"attempts": 2})))
    found.post(ev.ChildFinished("bill", 1, "Failed", None, failure("ChildFailed")))
    found.post(ev.SuspendChanged(True, 1))
    found.sleep(3600)
    assert found.statuses() == {"bill": "BackingOff"}
    found.post(ev.SuspendChanged(False, 2))
    assert found.statuses() == {"bill": "Waiting"}


def test_a_handled_failure_gives_the_output_that_it_says() -> None:
    found = run(
        step("a", onError={"output": {"was": "${error.message}"}}), step("b"), given={"a": failure()},
        outputs={"a": "${steps.a.output}", "why": "${steps.a.error.reason}"},
    )  # fmt: skip
    assert found.outputs() == {"a": {"was": "boom"}, "why": "Error"}


def test_a_handler_runs_its_steps_with_the_error_in_sight() -> None:
    tell = step("tell", arguments={"e": "${error.message}"})
    found = run(
        step("a", onError={"steps": [tell], "output": "${steps.tell.output}"}), given={"a": failure(),
        "a.onError.tell": "told"}, outputs={"a": "${steps.a.output}"},
    )  # fmt: skip
    assert found.outputs() == {"a": "told"}
    assert found.payload("a.onError.tell")["arguments"] == {"e": "boom"}


def test_a_handler_may_fail_around_a_step_that_runs_after_failures() -> None:
    inner = (step("write"), step("tidy", join="finished"))
    fix = group("fix", *inner, repeat={"max": 1}, onError={"steps": [step("tell")], "output": 1})
    found = run(fix, given={"fix[1].write": failure(), "fix.onError.tell": failure("Error", "nobody there")})
    assert found.ran == ["fix[1].write", "fix[1].tidy", "fix.onError.tell"]  # type: ignore[attr-defined]
    assert found.state.steps["fix"].message == "nobody there"
    assert found.phase() == F


def test_each_item_has_its_handler_and_a_handler_that_fails_fails_the_step() -> None:
    handled = {**looped(), "onError": {"output": -1}}
    found = run(handled, inputs={"list": [0, 1]}, given={"load[0]": failure(), "load[1]": 1},
                outputs={"all": "${steps.load.output}"})  # fmt: skip
    assert found.outputs() == {"all": [-1, 1]}
    found = run(
        step("a", onError={"steps": [step("tell")]}), given={"a": failure(), "a.onError.tell": failure()}
    )
    assert found.phase() == F


def undone(name: str, **fields: Any) -> dict[str, Any]:
    return step(name, compensate={"run": PAY, "with": {"id": "${output}"}}, **fields)


def test_what_completed_is_undone_in_reverse_order_then_comes_finally() -> None:
    found = run(
        undone("a"), undone("b"), undone("c"), given={"a": 1, "b": 2, "c": failure()},
        **{"finally": [step("last", arguments={"phase": "${execution.phase}"})]},
    )  # fmt: skip
    assert found.ran == ["a", "b", "c", "b.compensate", "a.compensate", "last"]  # type: ignore[attr-defined]
    assert found.payload("b.compensate")["arguments"] == {"id": 2}
    assert found.payload("last")["arguments"] == {"phase": "Failed"}
    assert found.phase() == F


def test_each_item_that_completed_is_undone() -> None:
    items = undone("load", forEach={**ITEMS, "parallelism": 1})
    found = run(items, inputs={"list": [1, 2, 3]}, given={"load[2]": failure()})
    undoing = [name for name in found.ran if "compensate" in name]  # type: ignore[attr-defined]
    assert undoing == ["load[1].compensate", "load[0].compensate"]


def test_a_compensation_that_fails_is_retried_and_then_what_remains_is_named() -> None:
    found = run(undone("a"), undone("b"), step("c"), given={"c": failure(), "b.compensate": failure()})
    ended = found.state.finished
    assert ended is not None
    assert found.ran.count("b.compensate") == 3  # type: ignore[attr-defined]
    assert (ended.phase, ended.reason) == (F, "CompensationFailed")
    assert ended.message.endswith("not undone: b, a")


def test_what_is_not_undone_is_named_however_long_the_messages_are() -> None:
    run = Run(
        plan(
            step(
                "each",
                forEach={"items": list(range(300))},
                compensate={"run": {"runtime": "python", "code": "x"}},
            ),
            step("bad"),
        )
    )
    run.finish(
        lambda name, _: failure(message="\n" * 5000) if not name.startswith("each[") or "." in name else 1
    )
    ended = run.state.finished
    assert ended is not None
    assert "; compensation of step each[299] failed: " in ended.message
    assert "; not undone: each[299], each[298], " in ended.message
    assert re.search(r", each\[(\d+)\] and (\d+) more$", ended.message)
    first, more = map(int, re.findall(r"\d+", ended.message)[-2:])
    assert first == more


@pytest.mark.parametrize(("mode", "ran"), [("Cancel", ["a.compensate", "last"]), ("Terminate", [])])
def test_a_cancelled_execution_is_undone_and_a_terminated_one_is_not(mode: str, ran: list[str]) -> None:
    found = Run(plan(undone("a"), act("b", wait={"for": "1h"}), **{"finally": [step("last")]}))
    found.register()
    found.end("a", 1)
    found.post(ev.StopRequested(mode, "CancelRequested", ""))
    script = Script({})
    found.finish(script)
    assert script.ran == ran
    assert found.phase() == "Cancelled"


def test_finally_runs_after_success_in_the_same_sandbox_and_its_failure_counts() -> None:
    final = {"finally": [step("one"), step("two")]}
    found = run(step("a"), given={"one": failure()}, **final)
    assert found.ran == ["a", "one", "two"]  # type: ignore[attr-defined]
    assert found.phase() == F
    assert len(found.state.sandboxes) == 1


def test_nothing_is_undone_for_a_failure_of_finally_and_nothing_remains_to_be() -> None:
    found = run(undone("a"), given={"last": failure()}, **{"finally": [step("last")]})
    ended = found.state.finished
    assert ended is not None
    assert found.ran == ["a", "last"]  # type: ignore[attr-defined]
    assert (ended.phase, ended.reason) == (F, "Error")
    assert "undone" not in ended.message


def test_the_handler_of_an_inner_loop_sees_the_iteration_of_the_outer_one() -> None:
    tell = step("tell", arguments={"of": "${iteration}"})
    handler = {"steps": [tell], "output": "${steps.tell.output}"}
    inner = step("write", repeat={"until": "false", "max": 1}, onError=handler)
    found = run(group("fix", inner, repeat={"max": 2}))
    assert found.payload("fix[2].write.onError.tell")["arguments"] == {"of": 2}


def test_an_output_that_is_not_as_its_schema_says_fails_the_step() -> None:
    typed = step("a", outputSchema={"type": "object", "required": ["n"]})
    ended = run(typed, given={"a": {"m": 1}}).state.finished
    assert ended is not None
    assert ended.reason == "InvalidOutput"
    assert "output.n: found nothing" in ended.message


def test_what_is_chosen_or_sent_is_checked_as_well() -> None:
    number = {"outputSchema": {"type": "integer"}}
    chosen = act("route", switch={"cases": [{"when": "true", "value": "text"}]}, **number)
    assert run(chosen).state.finished.reason == "InvalidOutput"  # type: ignore[union-attr]
    found = Run(plan(act("a", wait={"signal": "paid"}, **number)))
    found.post(ev.SignalReceived("paid", "k", Inline("text")))
    assert found.phase() == F


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([group("g", step("a")), step("b", arguments={"x": "${steps.a.output}"})], "reference to step 'a'"),
        ([group("g", step("g"))], "which a step around it is called"),
        ([step("a", arguments={"x": "${item}"})], "exists only inside forEach"),
        ([step("a", repeat={"until": "item > 1"})], "exists only inside forEach"),
        ([step("a", arguments={"x": "${error.message}"})], "exists only in onError"),
        ([group("g", step("a", arguments={"x": "${steps.g.output}"}))], "refers to itself from within"),
        ([group("g", step("a", arguments={"x": "${steps.h.output}"})),
          group("h", step("b", arguments={"x": "${steps.g.output}"}), needs=[])], "found a cycle"),
        ([act("a", wait={"for": "soon"})], "expected a duration"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(*steps)


@pytest.mark.parametrize(
    ("steps", "given", "origin"),
    [
        ([group("a", step("b"))], {"a.b": failure()}, "a.b"),
        ([looped("a")], {"a[1]": failure()}, "a[1]"),
        ([group("a", looped("b"))], {"a.b[0]": failure()}, "a.b[0]"),
        (
            [step("a", onError={"steps": [step("h")], "output": 1})],
            {"a": failure(message="first"), "a.onError.h": failure()},
            "a.onError.h",
        ),
    ],
)
def test_a_failure_is_told_with_the_innermost_step_that_failed(
    steps: list[dict[str, Any]], given: dict[str, Any], origin: str
) -> None:
    ended = run(*steps, inputs={"list": [1, 2]}, given=given).state.finished
    assert ended is not None
    assert (ended.step, ended.message) == (origin, f"step {origin}: boom")


def test_a_switch_that_reads_a_step_without_output_is_skipped_if_it_comes_to_that() -> None:
    skipped = step("z", when="false")
    reads = {"when": "steps.z.output == 1", "value": 1}
    assert run(skipped, act("s", switch={"cases": [reads], "default": 2})).statuses()["s"] == K
    first = [{"when": "true", "value": 3}, reads]
    found = run(skipped, act("s", switch={"cases": first}), outputs={"s": "${steps.s.output}"})
    assert found.outputs() == {"s": 3}
    value = {"cases": [{"when": "true", "value": "${steps.z.output}"}]}
    assert run(skipped, act("s", switch=value)).statuses()["s"] == K


def test_outputs_that_are_too_large_together_fail_the_execution() -> None:
    half = "x" * 600_000
    outputs = {"a": "${steps.a.output}", "b": "${steps.b.output}"}
    ended = run(step("a"), step("b"), given={"a": half, "b": half}, outputs=outputs).state.finished
    assert ended is not None
    assert ended.reason == "OutputTooLarge"
    assert ended.message == "outputs: found 1200015 bytes of JSON in all, expected at most 1048576"
