"""Agent steps: their sandboxes, what their code is given, and what their calls of tools become."""

from typing import Any

import pytest

from agents import TOOLS, AgentRun, agent, definition, plan, run_agent
from citadel.core import events as ev
from citadel.core.agents import attempts, conversation_of
from citadel.core.children import inputs_of
from citadel.core.children import wanted as children_wanted
from citadel.core.dispatch import dispatch
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import compile_definition, compile_workflow
from citadel.core.tools import wanted
from citadel.core.values import Inline, Values
from engine import failure, step


def writer(*tools: Any, **fields: Any) -> AgentRun:
    """An execution of one agent step, its attempt under way."""
    spec = fields.pop("agent", {})
    given = plan(run_agent(**fields), agents={"writer": agent(*tools, **spec)})
    return AgentRun(given).begin()


# ---- where it runs, and on what


def test_an_agent_has_a_sandbox_of_its_own_of_its_runtime_and_a_pool_may_have_it_ready() -> None:
    found = plan(run_agent(), step("other"), agents={"writer": agent("search")}).placements["write"]
    assert (found.exclusive, found.template["agent"], found.template["image"]) == (True, True, "agent")
    pool = plan(run_agent(), agents={"writer": agent()}).placements["write"].pool
    assert found.pool == pool
    assert found.pool is not None


def test_its_code_is_given_its_task_its_tools_and_its_limits() -> None:
    given = run_agent(
        agent={"prompt": "Write of ${inputs.topic}.", "conversation": "c-${inputs.topic}"},
        **{"with": {"facts": "${[1, 2]}"}},
        outputSchema={"type": "string"},
    )
    about = agent(
        "search",
        {"name": "find", "tool": "issues", "function": "find", "description": "Look."},
        system="Be brief.",
        limits={"turns": 3},
        memory={"maxTokens": 500},
        maxTokens=100,
    )
    run = AgentRun(plan(given, agents={"writer": about}), {"topic": "tea"}).begin()
    told: Any = dispatch(run.state, "write", run.store).arguments["agent"]
    assert told["tools"] == [
        {"name": "search", "description": "Searches.", "parameters": TOOLS["search"]["spec"]["parameters"]},
        {"name": "find", "description": "Look.", "parameters": TOOLS["search"]["spec"]["parameters"]},
    ]
    assert {key: value for key, value in told.items() if key != "tools"} == {
        "name": "writer", "system": "Be brief.", "prompt": "Write of tea.", "input": {"facts": [1, 2]},
        "outputSchema": {"type": "string"}, "repairs": 2, "limits": {"turns": 3, "toolCalls": 50},
        "maxTokens": 100, "temperature": None, "history": [], "summary": None, "memoryTokens": 500,
    }  # fmt: skip
    assert conversation_of(run.state, "write", Values(loaded=run.store)) == "c-tea"
    run.end("write", "Tea is good.")
    assert run.phase() == "Succeeded"


def test_an_output_that_does_not_fit_the_agents_schema_fails_the_attempt() -> None:
    run = writer(agent={"outputSchema": {"type": "object"}})
    run.end("write", "text")
    assert run.state.finished is not None
    assert run.state.finished.reason == "InvalidOutput"


def test_attempts_are_told_from_their_being_ready_until_they_end() -> None:
    run = AgentRun(plan(run_agent(retry={"attempts": 2}), agents={"writer": agent()}))
    assert [(item.step, item.attempt) for item in attempts(run.state)] == [("write", 1)]
    run.begin().end("write", failure())
    assert [(item.step, item.attempt) for item in attempts(run.state)] == [("write", 2)]
    run.finish()
    assert list(attempts(run.state)) == []


def test_no_attempt_and_no_call_takes_longer_than_an_admin_lets_it() -> None:
    given = definition(
        run_agent(), run_agent("slow", timeout="1h"), agents={"writer": agent("count", "search")}
    )
    steps = compile_definition({**given, "limits": {"timeout": "10s"}}).steps
    assert (steps["write"].timeout, steps["slow"].timeout) == (10, 3600), "policies refuse the latter"
    assert (steps["write.count"].timeout, steps["write.search"].timeout) == (10, 30)


# ---- what calls are


def test_each_kind_of_tool_is_what_a_step_of_its_kind_is() -> None:
    run = writer("search", "bill", "count", {"name": "find", "tool": "issues", "function": "find"})
    search = run.call("search", {"text": "tea"})
    find = run.call("find", {"text": "bug"})
    assert (search, find) == ("write.search[1]", "write.find[1]")
    calls = {call.step: call for call in wanted(run.state)}
    values = Values(loaded=run.store)
    assert inputs_of(values.get(calls["write.find[1]"].payload), values) == {"text": "bug"}
    assert (calls["write.find[1]"].tool.name, calls["write.find[1]"].asks.function) == ("issues", "find")
    run.answer(search, {"found": [1]})
    assert (run.told(search).status, run.output(search)) == ("Succeeded", {"found": [1]})

    bill = run.call("bill", {"text": "10"})
    (child,) = children_wanted(run.state)
    assert (child.step, child.workflow, inputs_of(values.get(child.payload), values)) == (
        bill,
        "invoice",
        {"text": "10"},
    )
    run.post(ev.ChildFinished(str(bill), 1, "Succeeded", Inline({"paid": True})))
    assert run.output(bill) == {"paid": True}

    count = run.call("count", {"text": "four"})
    run.begin()
    assert run.payload(str(count)) == {"arguments": {"text": "four"}, "env": []}
    run.end(str(count), 4)
    assert run.output(count) == 4
    run.answer(find, failure=failure("ToolFailed", "no such repository"))
    assert run.refused(find) == ("ToolFailed", "no such repository")
    run.end("write", "done")
    assert run.phase() == "Succeeded"
    assert (run.state.ended_steps, run.state.total_steps) == (1, 1)
    assert run.replayed() == run.state


def test_a_call_that_comes_again_is_the_same_and_one_of_another_attempt_is_not() -> None:
    run = writer("search", retry={"attempts": 2})
    first = run.call("search", {"text": "a"}, key="x")
    assert run.call("search", {"text": "a"}, key="x") == first
    assert run.call("search", {"text": "b"}, key="y") == "write.search[2]"
    run.end("write", failure())
    assert run.told(first).status == "Failed"
    run.wake()
    run.begin()
    assert run.call("search", {"text": "a"}, key="x", attempt=1) is None
    assert run.call("search", {"text": "a"}, key="x") == "write.search[3]"


def test_calls_are_listed_below_their_step_as_they_were_made() -> None:
    run = writer("search", "bill")
    for tool in ("search", "bill", "search", "rm"):
        run.call(tool, {"text": "a"})
    assert list(run.statuses()) == [
        "write", "write.search[1]", "write.bill[1]", "write.search[2]", "write.refused[1]",
    ]  # fmt: skip


# ---- what is refused

_NARROW = {
    "name": "search",
    "tool": "search",
    "constraints": [
        {"rule": "args.text.size() <= 5", "message": "too long"},
        {"rule": "args.?amount.orValue(0.0) <= 100.0"},
    ],
    "maxCalls": 2,
}


@pytest.mark.parametrize(
    ("tool", "arguments", "reason", "message"),
    [
        ("rm", {}, "ToolNotAllowed", 'Agent writer has no tool "rm"; its tools are: search'),
        ("Search", {}, "ToolNotAllowed", 'Agent writer has no tool "Search"'),
        ("refused", {}, "ToolNotAllowed", 'Agent writer has no tool "refused"'),
        ("search[1].call", {}, "ToolNotAllowed", "Agent writer has no tool"),
        ("search", {}, "ToolRefused", "arguments.text: found nothing, expected a value"),
        ("search", {"text": 3}, "ToolRefused", "arguments.text: found 3"),
        ("search", [], "ToolRefused", "arguments: found a list of 0 items, expected an object"),
        ("search", None, "ToolRefused", "arguments.text: found nothing, expected a value"),
        ("search", {"text": "much too long"}, "ToolRefused", "too long"),
        (
            "search",
            {"text": "a", "amount": 101},
            "ToolRefused",
            "expected arguments that fulfil args.?amount",
        ),
        (
            "search",
            {"text": "a", "amount": "x"},
            "ToolRefused",
            "expected arguments that fulfil args.?amount",
        ),
    ],
)
def test_a_call_out_of_bounds_fails_and_the_agent_goes_on(
    tool: str, arguments: Any, reason: str, message: str
) -> None:
    run = writer(_NARROW)
    call = run.call(tool, arguments)
    found = run.refused(call)
    assert found[0] == reason
    assert found[1].startswith(message)
    assert not list(wanted(run.state))
    run.answer(run.call("search", {"text": "ok", "amount": 7}), "fine")
    run.end("write", "done")
    assert run.phase() == "Succeeded"


def test_a_tool_may_be_called_so_often_in_each_attempt() -> None:
    run = writer(_NARROW, retry={"attempts": 2})
    for _ in range(2):
        run.answer(run.call("search", {"text": "a"}))
    assert run.refused(run.call("search", {"text": "a"})) == (
        "ToolLimitExceeded",
        "search may be called at most 2 times in one attempt",
    )
    run.end("write", failure())
    run.wake()
    run.begin()
    assert run.told(run.call("search", {"text": "a"})).status == "Running"


def test_calls_beyond_the_limit_of_an_attempt_end_the_step_whatever_its_retry_says() -> None:
    run = writer("search", "count", agent={"limits": {"toolCalls": 2}}, retry={"attempts": 5})
    run.call("search", {"text": "a"})
    run.call("rm")
    run.call("search", {"text": "a"})
    assert run.state.finished is not None
    assert run.state.finished.reason == "ToolLimitExceeded"
    assert (
        "called tools 3 times in one attempt, expected at most 2 (limits.toolCalls)"
        in run.state.finished.message
    )
    assert run.statuses()["write.search[1]"] == "Cancelled"
    assert run.statuses()["write.search[2]"] == "Cancelled"


# ---- approval


def _asked(**fields: Any) -> dict[str, Any]:
    asks = {"approvers": {"users": ["jane"]}, **fields}
    return {"name": "search", "tool": "search", "requireApproval": asks}


def test_what_needs_approval_is_asked_first_and_then_runs_as_it_was_shown() -> None:
    run = writer(_asked())
    call = run.call("search", {"text": "tea"})
    asked = "write.search[1].approve"
    assert run.state.steps[asked].status == "Waiting"
    shown = run.payload(asked)
    assert (shown["tool"], shown["arguments"]) == ("search", {"text": "tea"})
    assert shown["digest"].startswith("sha256:")
    assert not list(wanted(run.state))
    run.post(ev.ApprovalDecided(asked, True, "jane", "", Inline({}), run.now))
    (made,) = wanted(run.state)
    assert made.step == "write.search[1].call"
    run.answer(made.step, "found")
    assert run.output(call) == "found"


def test_what_is_rejected_or_not_decided_in_time_does_not_run() -> None:
    run = writer(_asked(timeout="1h"))
    call = run.call("search", {"text": "tea"})
    run.post(ev.ApprovalDecided("write.search[1].approve", False, "jane", "no", Inline({}), run.now))
    assert run.refused(call) == ("Rejected", "jane rejected it: no")
    late = run.call("search", {"text": "tea"})
    run.sleep(3601)
    assert run.refused(late) == ("Timeout", "nobody decided within 1h")
    assert not list(wanted(run.state))
    run.end("write", "done")
    assert run.phase() == "Succeeded"


def test_a_refused_call_is_not_even_asked_for() -> None:
    run = writer(_asked())
    assert run.refused(run.call("search", {"text": 3}))[0] == "ToolRefused"
    assert "write.search[1].approve" not in run.state.steps


# ---- agents as tools


def _team() -> AgentRun:
    agents = {
        "writer": agent({"name": "critic", "agent": "critic"}),
        "critic": agent("count", "search", description="Judges."),
    }
    return AgentRun(plan(run_agent(), agents=agents, parallelism=1)).begin()


def test_an_agent_that_is_a_tool_has_a_sandbox_and_tools_of_its_own() -> None:
    run = _team()
    judged = run.call("critic", {"prompt": "Is it good?"})
    run.begin()
    told: Any = dispatch(run.state, str(judged), run.store).arguments["agent"]
    assert (told["name"], told["prompt"], told["input"]) == ("critic", "Is it good?", {})
    assert run.state.steps["write"].sandbox != run.state.steps[str(judged)].sandbox
    counted = run.call("count", {"text": "four"}, step=str(judged))
    run.begin()
    assert counted == "write.critic[1].count[1]"
    assert run.running() == ["write", "write.critic[1]", "write.critic[1].count[1]"]
    run.end(str(counted), 4)
    run.end(str(judged), "good")
    assert run.output(judged) == "good"
    run.end("write", "done")
    assert run.phase() == "Succeeded"


def test_all_that_an_agent_has_begun_ends_with_it_however_deep() -> None:
    run = _team()
    judged = run.call("critic", {"prompt": "Is it good?"})
    run.begin()
    counted, found = (run.call(tool, {"text": "a"}, step=str(judged)) for tool in ("count", "search"))
    run.begin()
    sandboxes = {run.state.steps[str(name)].sandbox for name in (judged, counted)}
    run.end("write", "done")
    assert {run.statuses()[str(name)] for name in (judged, counted, found)} == {"Cancelled"}
    assert all(run.state.sandboxes[str(name)].released for name in sandboxes)
    assert not list(wanted(run.state))
    assert run.phase() == "Succeeded"
    assert run.replayed() == run.state


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ({}, "spec.steps[0].agent.name: found 'writer', expected the name of an Agent"),
        (
            {"writer": agent("serch")},
            "spec.steps[0].agent.name: Agent writer, tool serch: found 'serch', expected the name of a Tool,"
            " did you mean search?",
        ),
        (
            {"writer": agent({"name": "a", "agent": "writer"})},
            "spec.steps[0].agent.name: found agents that call each other in a circle: writer > writer",
        ),
        (
            {"writer": agent({"name": "a", "agent": "b"}), "b": agent({"name": "a", "agent": "writer"})},
            "found agents that call each other in a circle: writer > b > writer",
        ),
        (
            {"writer": agent({"name": "a", "agent": "a1"})}
            | {f"a{n}": agent({"name": "a", "agent": f"a{n + 1}"}) for n in range(1, 7)},
            "found agents within each other, expected at most 4: writer > a1 > a2 > a3 > a4",
        ),
        (
            {"writer": agent({"name": "a", "tool": "issues"})},
            "Agent writer, tool a: found no function, expected one of those of Tool issues: find",
        ),
        (
            {"writer": agent({"name": "a", "tool": "issues", "function": "drop"})},
            "Agent writer, tool a: found function 'drop', expected one of those of Tool issues: find",
        ),
        (
            {"writer": agent({"name": "a", "tool": "search", "function": "drop"})},
            "Agent writer, tool a: found function, which means nothing for Tool search; leave it out",
        ),
        (
            {"writer": agent({"name": "a", "tool": "search", "constraints": [{"rule": "inputs.x > 1"}]})},
            "Agent writer, tool a, constraints[0].rule: found inputs, expected args alone",
        ),
        (
            {"writer": agent({"name": "a", "tool": "search", "constraints": [{"rule": "args.x >"}]})},
            "Agent writer, tool a, constraints[0].rule: ",
        ),
        ({"writer": agent(runtime="nowhere")}, "found 'nowhere', expected the name of a Runtime"),
        ({"writer": agent(runtime="go")}, "found Runtime go of the language go, expected one of python"),
        ({"writer": agent(outputSchema={"$ref": "https://a/b"})}, "Agent writer, outputSchema: "),
    ],
)
def test_what_an_agent_cannot_be_is_said(agents: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        compile_definition(definition(run_agent(), agents=agents))
    assert message in str(refused.value)


def test_a_workflow_is_checked_without_the_agents_that_only_a_cluster_knows() -> None:
    from citadel.api.workflow import WorkflowSpec

    spec = {
        "steps": [
            run_agent(agent={"prompt": "${steps.nothing.output}"}),
            {"name": "t", "tool": {"name": "x"}},
        ]
    }
    with pytest.raises(InvalidDefinition) as refused:
        compile_workflow(WorkflowSpec.model_validate(spec))
    (problem,) = refused.value.problems
    assert problem.text.startswith("spec.steps[0].agent.prompt: found a reference to step 'nothing'")


@pytest.mark.parametrize("action", ["agent", "tool"])
def test_no_secret_goes_into_what_is_stored_or_shown_to_a_model(action: str) -> None:
    secret = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    given = run_agent() if action == "agent" else {"name": "write", "tool": {"name": "search"}}
    with pytest.raises(InvalidDefinition, match="found valueFrom, expected a value: it is stored"):
        plan({**given, "with": {"text": secret}}, agents={"writer": agent()})


# ---- what may happen on the way


def test_an_agent_goes_on_in_another_sandbox_after_its_own_is_lost() -> None:
    run = writer("search", "count")
    call = run.call("search", {"text": "a"}, key="x")
    run.lose(str(run.state.steps["write"].sandbox))
    assert (run.state.steps["write"].status, run.state.steps["write"].attempt) == ("Ready", 1)
    assert run.call("search", {"text": "b"}, key="y") is None, "nothing of it runs"
    run.answer(call, "found")
    run.begin()
    assert run.state.steps["write"].placing == 2
    assert run.call("search", {"text": "a"}, key="x") == call
    assert run.output(call) == "found"
    run.end("write", "done")
    assert run.phase() == "Succeeded"


@pytest.mark.parametrize("reason", ["OOMKilled", "Timeout"])
def test_an_agent_whose_own_doing_ended_its_sandbox_has_failed(reason: str) -> None:
    run = writer("search")
    call = run.call("search", {"text": "a"})
    run.lose(str(run.state.steps["write"].sandbox), reason)
    assert run.phase() == "Failed"
    assert run.told(call).status == "Failed"


def test_an_agent_that_is_lost_again_and_again_fails() -> None:
    run = writer()
    for _ in range(5):
        run.lose(str(run.state.steps["write"].sandbox))
        run.begin()
    assert run.state.finished is not None
    assert run.state.finished.reason == "SandboxLost"


def test_nothing_new_is_called_while_it_is_suspended() -> None:
    run = writer("search")
    run.post(ev.SuspendChanged(True, 2))
    call = run.call("search", {"text": "a"})
    assert run.told(call).status == "Running"
    assert not list(wanted(run.state))
    run.post(ev.SuspendChanged(False, 3))
    assert [made.step for made in wanted(run.state)] == [call]


def test_a_call_that_waits_for_its_execution_to_go_on_ends_with_it() -> None:
    given = plan(run_agent(), agents={"writer": agent("search")}, **{"finally": [step("last")]})
    run = AgentRun(given).begin()
    run.post(ev.SuspendChanged(True, 2))
    call = run.call("search", {"text": "a"})
    run.post(ev.StopRequested("Cancel", "Cancelled", "enough"))
    run.sleep(31)
    assert run.statuses() == {"write": "Cancelled", str(call): "Cancelled", "last": "Ready"}


def test_nothing_is_called_any_more_once_it_is_to_stop() -> None:
    run = writer("search", "count")
    calls = [run.call(tool, {"text": "a"}) for tool in ("search", "count")]
    run.begin()
    run.post(ev.StopRequested("Cancel", "Cancelled", "enough"))
    assert run.call("search", {"text": "b"}) is None
    run.end("write", failure("Cancelled", "stopped"))
    assert run.phase() == "Cancelled"
    assert {run.told(call).status for call in calls} == {"Failed"}


def test_what_fails_beside_an_agent_does_not_keep_it_from_its_tools() -> None:
    given = plan(
        run_agent(), step("other", needs=[]), agents={"writer": agent("search", _asked() | {"name": "ask"})}
    )
    run = AgentRun(given).begin()
    asked = run.call("ask", {"text": "a"})
    run.end("other", failure())
    assert run.state.steps[f"{asked}.approve"].status == "Waiting"
    call = run.call("search", {"text": "a"})
    run.answer(call, "found")
    assert run.output(call) == "found"
    run.end("write", "done")
    assert run.phase() == "Failed"


def test_agents_of_a_loop_within_a_group_call_tools_side_by_side() -> None:
    group = {
        "name": "all",
        "steps": [run_agent(forEach={"items": ["a", "b", "c"]}, agent={"prompt": "${item}"})],
        "output": "${steps.write.output}",
        "repeat": {"max": 1},
    }
    run = AgentRun(plan(group, agents={"writer": agent("count", "search")}, parallelism=3)).begin()
    steps = [f"all[1].write[{number}]" for number in range(3)]
    assert run.running() == steps
    calls = [run.call("count", {"text": name}, step=name) for name in steps]
    run.begin()
    assert run.running() == sorted([*steps, *map(str, calls)]), "no agent waits for the sandbox of another"
    assert calls[1] == "all[1].write[1].count[1]"
    for call in calls:
        run.end(str(call), 1)
    for name in steps:
        run.end(name, name)
    assert run.phase() == "Succeeded"
    assert (run.state.ended_steps, run.state.total_steps) == (6, 6)


def test_a_handler_and_an_undoing_follow_an_agent_as_any_step() -> None:
    handled = run_agent("first", onError={"output": "none"})
    undone = run_agent("second", compensate={"run": {"runtime": "python", "code": "x"}})
    run = AgentRun(plan(handled, undone, step("third"), agents={"writer": agent("search")})).begin()
    call = run.call("search", {"text": "a"}, step="first")
    run.end("first", failure())
    assert (run.statuses()["first"], run.told(call).status) == ("Succeeded", "Failed")
    run.begin().end("second", "done")
    run.begin().end("third", failure())
    run.begin()
    assert run.running() == ["second.compensate"]


def test_a_tool_in_a_compiled_language_is_built_when_it_is_called_first() -> None:
    code = {"runtime": "go", "code": "package main"}
    tools = {"fast": {"spec": {"description": "x", "parameters": {"type": "object"}, "code": code}}}
    given = plan(run_agent(), agents={"writer": agent("fast")}, tools=tools, parallelism=1)
    run = AgentRun(given).begin()
    assert run.running() == ["write"]
    call = run.call("fast")
    run.begin()
    assert run.running() == ["write", "write.fast.build"]
    run.end("write.fast.build", {})
    run.begin()
    assert run.running() == ["write", call]


def test_a_step_with_a_cache_is_known_by_all_that_its_agent_may_do() -> None:
    def keys(**spec: Any) -> str | None:
        given = run_agent(cache={})
        run = AgentRun(plan(given, agents={"writer": agent("search", **spec)}))
        return run.state.steps["write"].cache

    assert keys() == keys() is not None
    assert keys() != keys(system="Be brief.")


# ---- a tool as a step of its own


def test_a_tool_may_be_a_step() -> None:
    steps = (
        {
            "name": "find",
            "tool": {"name": "search"},
            "with": {"text": "${inputs.text}"},
            "retry": {"attempts": 2},
        },
        {"name": "issue", "tool": {"name": "issues", "function": "find"}, "with": {"text": "x"}},
        {"name": "count", "tool": {"name": "count"}, "with": {"text": "${steps.find.output}"}},
        {"name": "bill", "tool": {"name": "bill"}, "with": {"text": "z"}},
    )
    run = AgentRun(plan(*steps, agents={}, outputs={"n": "${steps.count.output}"}), {"text": "tea"})
    assert [(call.step, call.attempt) for call in wanted(run.state)] == [("find", 1)]
    run.answer("find", failure=failure("ToolUnavailable"))
    run.wake()
    assert [(call.step, call.attempt) for call in wanted(run.state)] == [("find", 2)]
    run.answer("find", "four")
    run.answer("issue", [])
    run.begin()
    assert run.payload("count")["arguments"] == {"text": "four"}
    run.end("count", 4)
    assert [child.workflow for child in children_wanted(run.state)] == ["invoice"]
    run.post(ev.ChildFinished("bill", 1, "Succeeded", Inline({})))
    assert run.outputs() == {"n": 4}


def test_a_step_whose_arguments_its_tool_does_not_take_fails() -> None:
    given = {"name": "find", "tool": {"name": "search"}, "with": {"text": "${inputs.text}"}}
    run = AgentRun(plan(given, agents={}), {"text": 3})
    assert run.state.finished is not None
    assert run.state.finished.reason == "ToolRefused"
    assert "arguments.text: found 3" in run.state.finished.message


def test_a_tool_of_which_nothing_is_heard_is_not_waited_for_for_ever() -> None:
    run = AgentRun(plan({"name": "find", "tool": {"name": "search"}, "with": {"text": "a"}}, agents={}))
    run.wake()
    assert run.state.finished is not None
    assert (run.state.finished.reason, run.state.finished.message) == (
        "Timeout",
        "step find: Tool search has not answered within 30s",
    )


def test_an_output_that_is_not_what_the_tool_promises_fails_the_call() -> None:
    spec = {**TOOLS["search"]["spec"], "outputSchema": {"type": "object"}}
    given = plan(run_agent(), agents={"writer": agent("search")}, tools={"search": {"spec": spec}})
    run = AgentRun(given).begin()
    call = run.call("search", {"text": "a"})
    run.answer(call, "text")
    assert run.refused(call)[0] == "InvalidOutput"
