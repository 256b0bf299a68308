"""Sandboxes for calls that no agent has made yet: which, how many, and what becomes of them."""

from collections.abc import Mapping
from typing import Any

from agents import TEXT, AgentRun, agent, definition, run_agent
from citadel.core import events as ev
from citadel.core.plan import compile_definition
from citadel.core.sessions import AHEAD, IDLE_SECONDS
from engine import step


def execution(
    *tools: Any, others: Mapping[str, Any] | None = None, pool: Mapping[str, int] | None = None, **spec: Any
) -> AgentRun:
    """An execution of one agent step that waits for its sandbox; `pool` is that of the Runtime of code."""
    agents = {"writer": agent(*tools), **(others or {})}
    document = definition(run_agent(), agents=agents, **spec)
    if pool is not None:
        document["runtimes"]["python"]["pool"] = pool
    return AgentRun(compile_definition(document))


def starting(*tools: Any, **fields: Any) -> AgentRun:
    """The same, its agent at work, while the first that was wanted for its calls has not registered."""
    run = execution(*tools, **fields)
    (sandbox,) = run.usable()
    run.post(ev.SandboxRegistered(sandbox), claim=sandbox)
    return run


def begun(*tools: Any, **fields: Any) -> AgentRun:
    """The same, once all that was wanted for its calls has registered."""
    return execution(*tools, **fields).begin()


def ahead(run: AgentRun) -> list[str]:
    """Of what there are sandboxes that nobody has used, as paths of steps."""
    found = [run.state.sandboxes[name] for name in run.usable()]
    return [item.placement.partition("/")[2] for item in found if item.step is None and not item.served]


def codes(count: int) -> tuple[list[str], dict[str, Any]]:
    code = {"runtime": "python", "code": "def main(text): pass"}
    names = [f"t{number}" for number in range(count)]
    spec = {"description": "x", "parameters": TEXT, "code": code}
    return names, {name: {"spec": spec} for name in names}


def released(run: AgentRun) -> list[str]:
    return [event.reason for event, _ in run.log if isinstance(event, ev.SandboxReleased)]


def test_nothing_is_started_before_the_agent_runs() -> None:
    assert ahead(execution("count")) == ["write"]


def test_what_a_running_agent_may_call_has_a_sandbox_that_its_call_takes() -> None:
    run = begun("count", "search", "bill")
    assert ahead(run) == ["write.count"]
    call = run.call("count", {"text": "four"})
    assert len(run.state.sandboxes) == 2
    assert run.poll() == [call]


def test_so_has_what_those_may_call_in_turn_in_the_order_of_the_tools() -> None:
    critic = agent("count", description="Judges.")
    run = begun({"name": "critic", "agent": "critic"}, "count", others={"critic": critic})
    assert ahead(run) == ["write.critic", "write.critic.count", "write.count"]


def test_one_starts_at_a_time_and_those_that_are_called_come_first() -> None:
    names, tools = codes(2)
    run = starting(*names, tools=tools)
    assert ahead(run) == ["write.t0"]
    run.post(ev.Delivered("write", 1, run.state.steps["write"].placing))
    run.call("t1", {"text": "four"})
    assert ahead(run) == ["write.t0", "write.t1"]
    run.register()
    assert len(run.state.sandboxes) == 3


def test_what_people_have_to_approve_is_not_started_before_they_have() -> None:
    asks = {"requireApproval": {"approvers": {"users": ["jane"]}}}
    critic = agent("count", description="Judges.")
    by_people = ({"name": "sum", "tool": "count", **asks}, {"name": "critic", "agent": "critic", **asks})
    assert ahead(begun(*by_people, others={"critic": critic})) == []


def test_nor_is_what_a_pool_has_ready() -> None:
    assert ahead(begun("count", pool={"min": 1, "max": 2})) == []
    assert ahead(begun("count", pool={"min": 0, "max": 2})) == ["write.count"]


def test_a_step_without_agents_has_none() -> None:
    run = AgentRun(compile_definition(definition(step("a"), step("b", isolation="step"), agents={})))
    run.register()
    assert ahead(run) == []


def test_they_are_few_however_much_an_agent_may_call() -> None:
    names, tools = codes(AHEAD + 3)
    assert ahead(begun(*names, tools=tools, parallelism=20)) == [f"write.{name}" for name in names[:AHEAD]]
    assert ahead(begun(*names, tools=tools, parallelism=2)) == ["write.t0", "write.t1"]


def test_one_that_is_not_called_goes_and_does_not_come_again() -> None:
    run = begun("count")
    run.sleep(IDLE_SECONDS)
    assert released(run) == ["Idle"]
    run.sleep(IDLE_SECONDS)
    assert ahead(run) == []
    run.call("count", {"text": "four"})
    assert ahead(run) == ["write.count"]


def test_a_call_that_finds_no_room_takes_that_of_one_which_nobody_called_even_if_it_has_not_started() -> None:
    names, tools = codes(2)
    run = starting(*names, tools=tools, parallelism=1)
    assert ahead(run) == ["write.t0"]
    run.post(ev.Delivered("write", 1, run.state.steps["write"].placing))
    run.call("t1", {"text": "four"})
    assert released(run) == ["MadeRoom"]
    assert ahead(run) == ["write.t1"]


def test_one_that_cannot_start_costs_nobody_anything() -> None:
    run = begun("count")
    (unused,) = [name for name in run.usable() if run.state.sandboxes[name].step is None]
    run.lose(unused, "ImagePullFailed")
    assert ahead(run) == []
    assert run.running() == ["write"]
    run.end("write", "done")
    assert run.phase() == "Succeeded"


def test_they_go_with_their_agent() -> None:
    agents = {"writer": agent("count")}
    run = AgentRun(compile_definition(definition(run_agent(), step("after"), agents=agents)))
    run.begin()
    run.end("write", "done")
    assert ahead(run) == [""]  # that of the next step, which may be shared
    assert released(run) == ["Served", "NoMoreSteps"]


def test_none_is_started_while_the_execution_is_suspended() -> None:
    names, tools = codes(3)
    run = begun(*names, tools=tools, parallelism=2)
    run.post(ev.SuspendChanged(True, 2))
    run.sleep(IDLE_SECONDS)
    assert ahead(run) == []
    run.post(ev.SuspendChanged(False, 3))
    assert ahead(run) == ["write.t2"]
