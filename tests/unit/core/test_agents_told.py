"""Agent steps as others see them: in the summary, in rows, and by a rerun."""

from typing import Any

import pytest

from agents import AgentRun, agent, plan, run_agent
from citadel.core import events as ev
from citadel.core.plan import Plan
from citadel.core.reruns import CannotRerun, take_over
from citadel.core.spending import DOLLAR
from citadel.core.state import State
from citadel.core.summary import step_words, summarise
from citadel.core.telling import told
from citadel.core.usage import in_ledger, with_usage
from citadel.core.values import Inline
from citadel.render.status import Observed, execution_status
from citadel.store.rows import changes
from engine import failure, step
from engine import plan as engine_plan

ASK = {
    "name": "ask",
    "tool": "search",
    "requireApproval": {"approvers": {"users": ["jane"]}},
}


def writer(*tools: Any, **fields: Any) -> AgentRun:
    return AgentRun(plan(run_agent(**fields), agents={"writer": agent(*tools)})).begin()


def test_an_execution_waits_when_its_agent_waits_for_people_alone() -> None:
    run = writer(ASK, "count")
    assert summarise(run.state).phase == "Running"
    run.call("ask", {"text": "a"})
    found = summarise(run.state)
    assert (found.phase, found.reason) == ("Waiting", "WaitingForApproval")
    assert "step write.ask[1].approve waits for approval by jane" in found.message
    run.call("count", {"text": "a"})
    run.begin()
    assert summarise(run.state).phase == "Running"


def test_a_step_says_how_many_tools_its_agent_has_called() -> None:
    run = writer("search", "bill")
    run.call("search", {"text": "a"})
    run.call("rm")
    assert step_words(run.state, "write") == (None, "2 calls of tools, 1 refused")
    assert step_words(run.state, "write.search[1]")[0] == "WaitingForTool"
    assert step_words(run.state, "write.refused[1]")[0] == "ToolNotAllowed"


def test_what_models_took_is_told_as_the_ledger_has_it() -> None:
    run = writer("search")
    run.answer(run.call("search", {"text": "a"}), "found")
    run.end("write", "done")
    found = {
        "write": ev.Usage("writer", "scripted", 10, 5, 2 * 10**9, 2),
        "gone": ev.Usage("m", "openai", 1, 1, 1),
    }
    assert in_ledger(run.state)
    state = with_usage(run.state, found)
    assert step_words(state, "write")[1] == "1 call of tools; Model writer (scripted): 15 tokens, $0.002"
    status = execution_status(Observed(state, 1))
    assert (status["usage"]["totalTokens"], status["usage"]["cost"]) == (17, "0.002000000001")
    assert with_usage(run.state, {}).usage is None
    assert not in_ledger(AgentRun(engine_plan(step("a"))).state)


def test_an_expression_sees_what_a_step_took_with_the_agents_that_it_called_in_all_attempts() -> None:
    people = {"approvers": {"users": ["jane"]}}
    agents = {
        "editor": agent(
            {"name": "ask", "agent": "writer"}, {"name": "pay", "agent": "writer", "requireApproval": people}
        ),
        "writer": agent({"name": "check", "agent": "critic"}),
        "critic": agent(),
    }
    seen = {name: f"${{steps.write.usage.{name}}}" for name in ("calls", "tokens", "cost", "estimated")}
    steps = (run_agent(of="editor", retry={"attempts": 2}), run_agent("other", of="critic"))
    run = AgentRun(plan(*steps, agents=agents, outputs=seen)).begin()

    def ends(name: str, cost: int, ok: bool = True) -> None:
        run.begin()
        usage = ev.Usage("m", "scripted", 10, 5, cost * DOLLAR, estimated=cost == 2)
        of = (name, run.state.steps[name].attempt, run.state.steps[name].sandbox or "")
        run.post(
            ev.AttemptSucceeded(*of, Inline("x"), usage=usage)
            if ok
            else ev.AttemptFailed(*of, failure(), usage)
        )

    run.call("ask", {"prompt": "a"})
    run.begin().call("check", {"prompt": "a"}, step="write.ask[1]")
    ends("write.ask[1].check[1]", 1)
    ends("write.ask[1]", 2)
    ends("write", 4, ok=False)
    run.wake()
    run.begin()
    run.call("pay", {"prompt": "a"})
    run.post(ev.ApprovalDecided("write.pay[1].approve", True, "jane", "", Inline({}), run.now))
    ends("write.pay[1].call", 8)
    ends("write", 16)
    ends("other", 32)
    assert run.outputs() == {"calls": 5, "tokens": 75, "cost": 31.0, "estimated": True}


def test_each_call_is_told_by_what_it_does() -> None:
    run = writer(ASK, "bill", "count", {"name": "critic", "tool": "search"})
    calls = [run.call(tool, {"text": "a"}) for tool in ("ask", "bill", "count", "critic", "rm")]
    names = ["write", *map(str, calls), "write.ask[1].approve"]
    actions = {name: told(run.state, name, run.state.steps[name]).action for name in names}
    assert list(actions.values()) == ["agent", "steps", "workflow", "run", "tool", "tool", "approval"]


def test_a_status_names_what_failed_of_a_call_last() -> None:
    run = writer("search")
    for _ in range(25):
        run.call("rm")
    run.call("search", {"text": "a"})
    named = [item["name"] for item in execution_status(Observed(run.state, 1))["steps"]]
    assert named[:2] == ["write.search[1]", "write"]
    assert len(named) == 20


def test_only_the_sandbox_that_has_the_attempt_calls() -> None:
    run = writer(ASK, "search")
    mine = run.state.steps["write"].sandbox
    assert mine is not None
    assert not run.post(ev.ToolCalled("write", 1, "x", "search", Inline({}), "another")).events
    assert run.post(ev.ToolCalled("write", 1, "x", "search", Inline({"text": "a"}), mine)).accepted == (True,)


def test_calls_that_need_nobody_else_are_told_as_progress_alone() -> None:
    run = writer("search", ASK)
    told = []
    for tool, key in (("search", "x"), ("ask", "y")):
        before = run.state
        outcome = run.post(ev.ToolCalled("write", 1, key, tool, Inline({"text": "a"})))
        told.append({notice.topic for notice in changes(before, outcome, run.now).notices})
    before = run.state
    outcome = run.post(ev.ToolAnswered("write.search[1]", 1, Inline("found")))
    told.append({notice.topic for notice in changes(before, outcome, run.now).notices})
    before = run.state
    told.append({notice.topic for notice in changes(before, run.end("write", "done"), run.now).notices})
    assert told[0] == {"progress", "tool"}
    assert "execution" in told[1]
    assert told[2] == {"progress"}
    assert "execution" in told[3]


def test_rows_of_calls_follow_them_and_the_end_of_their_agent() -> None:
    run = writer(ASK, "search")
    before = run.state
    outcome = run.post(ev.ToolCalled("write", 1, "x", "ask", Inline({"text": "a"})))
    first = changes(before, outcome, run.now)
    assert {row.name: row.status for row in first.steps} == {
        "write.ask[1]": "Running",
        "write.ask[1].approve": "Waiting",
        "write.ask[1].call": "Pending",
    }
    assert [row.phase for row in first.approvals] == ["Pending"]
    before = run.state
    last = changes(before, run.end("write", "done"), run.now)
    assert {row.name: row.status for row in last.steps} == {
        "write": "Succeeded",
        "write.ask[1]": "Cancelled",
        "write.ask[1].approve": "Cancelled",
        "write.ask[1].call": "Cancelled",
    }
    assert [row.phase for row in last.approvals] == ["Cancelled"]


# ---- reruns


def _ended(*tools: Any, **spec: Any) -> tuple[State, Plan]:
    given = plan(run_agent(), step("after"), agents={"writer": agent(*tools, **spec)})
    run = AgentRun(given).begin()
    run.call("bill", {"text": "a"})
    run.post(ev.ChildFinished("write.bill[1]", 1, "Succeeded", Inline({})))
    run.end("write", "done")
    run.begin().end("after", failure())
    return run.state, given


def test_an_agent_that_succeeded_is_taken_over_as_a_whole_and_its_calls_are_not() -> None:
    old, given = _ended("bill", ASK)
    assert list(take_over(old, given).steps) == ["write"]


@pytest.mark.parametrize("changed", [{"system": "Be brief."}, {"limits": {"turns": 3}}])
def test_another_agent_runs_again(changed: dict[str, Any]) -> None:
    old, _ = _ended("bill")
    other = plan(run_agent(), step("after"), agents={"writer": agent("bill", **changed)})
    assert list(take_over(old, other).steps) == []


def test_what_was_approved_of_another_definition_is_asked_again() -> None:
    old, _ = _ended("bill", ASK)
    other = plan(run_agent(), step("after", timeout="1h"), agents={"writer": agent("bill", ASK)})
    assert list(take_over(old, other).steps) == []


def test_an_agent_that_failed_runs_again_from_its_beginning() -> None:
    run = writer("search")
    run.answer(run.call("search", {"text": "a"}), "found")
    run.end("write", failure())
    assert list(take_over(run.state, run.plan).steps) == []


@pytest.mark.parametrize("point", ["write.bill", "write.bill[1]", "write.ask.call"])
def test_nobody_runs_again_from_a_call(point: str) -> None:
    old, given = _ended("bill", ASK)
    with pytest.raises(CannotRerun):
        take_over(old, given, point)
