"""What is told to traces: each agent and each call once, when it has ended, within what it is part of."""

from typing import Any

import pytest

from agents import AgentRun, agent, plan, run_agent
from citadel.core import events as ev
from citadel.core.spans import Ended, ended
from engine import failure


class Traced(AgentRun):
    """An execution, and what was told of it."""

    def __init__(self, *given: Any, **fields: Any) -> None:
        self.spans: list[Ended] = []
        super().__init__(*given, **fields)

    def post(self, *facts: ev.Event, claim: str | None = None) -> Any:
        outcome = super().post(*facts, claim=claim)
        self.spans += ended(outcome.state, outcome.events)
        return outcome

    def told_of(self) -> list[tuple[str, str, str, str, str | None]]:
        return [(span.operation, span.name, span.step, span.within, span.error) for span in self.spans]


def writer(*tools: Any, more: Any = None, **fields: Any) -> Traced:
    agents = {"writer": agent(*tools), **(more or {})}
    return Traced(plan(run_agent(**fields), agents=agents)).begin()  # type: ignore[return-value]


def test_a_call_an_agent_and_the_execution_are_told_of_as_they_end() -> None:
    run = writer("search")
    search = run.call("search", {"text": "tea"})
    assert run.told_of() == []
    run.now += 2
    run.answer(search, "found")
    assert run.told_of() == [("execute_tool", "search", "write.search[1]", "write", None)]
    assert run.spans[0].ended - run.spans[0].began == 2
    run.now += 1
    run.end("write", "text")
    run.finish()
    assert run.told_of()[1:] == [
        ("invoke_agent", "writer", "write", "", None),
        ("invoke_workflow", "flow", "", "", None),
    ]
    assert run.spans[1].ended - run.spans[1].began == 3


def test_failures_have_their_reasons() -> None:
    run = writer("search")
    run.call("search", {"wrong": 1})
    run.call("other")
    run.answer(run.call("search", {"text": "x"}), failure=failure("ToolFailed"))
    run.end("write", failure("TurnLimitExceeded"))
    run.finish()
    assert [(span.operation, span.error) for span in run.spans] == [
        ("execute_tool", "ToolRefused"),
        ("execute_tool", "ToolNotAllowed"),
        ("execute_tool", "ToolFailed"),
        ("invoke_agent", "TurnLimitExceeded"),
        ("invoke_workflow", run.state.finished.reason),  # type: ignore[union-attr]
    ]


def test_what_is_cut_off_with_its_agent_is_told_of_too() -> None:
    run = writer("search")
    run.call("search", {"text": "x"})
    run.end("write", "text")
    assert [(span.operation, span.error) for span in run.spans] == [
        ("invoke_agent", None),
        ("execute_tool", "Cancelled"),
        ("invoke_workflow", None),
    ]


def test_a_retry_is_the_same_agent_told_of_once() -> None:
    run = writer("search", retry={"attempts": 2})
    run.end("write", failure())
    assert run.told_of() == []
    run.sleep(3600)
    run.begin()
    run.end("write", "text")
    assert [span.attributes for span in run.spans if span.operation == "invoke_agent"] == [{"attempt": 2}]


def test_agents_of_agents_are_within_them() -> None:
    more = {"critic": agent("search")}
    run = writer({"name": "critic", "agent": "critic"}, more=more)
    critic = run.call("critic", {"prompt": "?"})
    assert critic == "write.critic[1]"
    run.begin()
    search = run.call("search", {"text": "x"}, step=critic)
    run.answer(search, "found")
    run.end(critic, "fine")
    run.end("write", "text")
    run.finish()
    assert run.told_of()[:3] == [
        ("execute_tool", "search", "write.critic[1].search[1]", "write.critic[1]", None),
        ("invoke_agent", "critic", "write.critic[1]", "write", None),
        ("invoke_agent", "writer", "write", "", None),
    ]
    assert len(run.spans) == len({(span.operation, span.step) for span in run.spans}) == 4


@pytest.mark.parametrize("name", ["count", "bill"])
def test_every_kind_of_tool_is_told_of(name: str) -> None:
    run = writer(name)
    call = run.call(name, {"text": "x"})
    assert call is not None
    run.begin()
    attempt = run.state.steps[call].attempt
    if name == "bill":
        run.post(ev.ChildFinished(call, attempt, "Succeeded"))
    else:
        run.end(call, 1)
    assert [span.operation for span in run.spans] == ["execute_tool"]
