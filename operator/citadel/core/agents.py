"""Agents and their calls, as others ask for them: what attempts there are, what they are given, who answers.

Pure. What calls do is in `core/agentsteps.py`, what is said of them in `core/bounds.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from citadel.api.actions import Agent
from citadel.api.agent import AgentSpec
from citadel.api.problems import counted
from citadel.api.reasons import Reason, StepStatus
from citadel.core.bounds import beyond, objection
from citadel.core.calls import Call
from citadel.core.compiled import CompiledStep
from citadel.core.failures import Failure
from citadel.core.instances import turn, turns
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.pinned import told
from citadel.core.state import State, StepState, is_running
from citadel.core.values import Inline, Stored, Value, Values, decode_value, encode


@dataclass(frozen=True)
class Attempt:
    """An attempt of an agent step that is under way, or about to be."""

    step: str
    attempt: int
    asks: Agent
    """What the step says: budget and conversation of its own."""
    agent: AgentSpec
    since: float
    """When it became ready."""


@dataclass(frozen=True)
class Outcome:
    """How a call stands."""

    status: str
    """Running, Succeeded or Failed."""
    output: Value | None = None
    failure: Failure | None = None


def attempts(state: State) -> Iterator[Attempt]:
    """The attempts of agents that are under way, wait for a sandbox, or for their time."""
    if state.finished is not None or state.plan is None or not state.plan.agents:
        return
    for name in sorted(state.active):
        found = attempt_of(state, name)
        if found is not None:
            yield found


def attempt_of(state: State, step: str) -> Attempt | None:
    """The attempt of an agent step that is not over; None where there is none."""
    found = state.steps.get(step)
    if found is None or step not in state.active or found.undecided or state.plan is None:
        return None
    compiled = state.plan.step(step)
    if compiled.agent is None or compiled.is_loop(step):
        return None
    assert compiled.spec.agent is not None
    return Attempt(step, found.attempt, compiled.spec.agent, compiled.agent, found.ready_at)


def may_call(state: State, step: str, attempt: int, call: str) -> bool:
    """Whether an attempt may still call a tool, and has not made just this call."""
    found = state.steps.get(step)
    if found is None or state.plan is None or state.stopping or state.plan.step(step).agent is None:
        return False
    under_way = is_running(found) and found.delivered_at is not None and found.attempt == attempt
    return under_way and call_of(state, step, attempt, call) is None


def call_key(name: str, arguments: Json, id_: str) -> str:
    """By what a call of a tool is told from others of its attempt; the model says the id."""
    return digest(canonical([name, arguments, id_])).removeprefix("sha256:")[:32]


def call_of(state: State, step: str, attempt: int, call: str) -> str | None:
    """The instance that answers a call of the current attempt of a step; None where it has made none."""
    calls, found = state.calls.get(step), state.steps.get(step)
    if calls is None or found is None or not calls.attempt == found.attempt == attempt:
        return None
    return calls.instances.get(call)


def outcome(state: State, instance: str) -> Outcome:
    """How the call that an instance answers stands."""
    step = state.steps[instance]
    if not step.status.terminal:
        return Outcome("Running")
    if step.status is StepStatus.SUCCEEDED and step.output is not None:
        return Outcome("Succeeded", step.output)
    failure = step.failure or Failure(step.reason or str(step.status), step.message or "it was ended")
    return Outcome("Failed", None, failure)


def call_around(state: State, instance: str) -> Call | None:
    """The innermost call that an instance is, or is part of."""
    for loop, number in turns(instance):
        if (call := state.called.get(f"{loop}[{number}]")) is not None:
            return call
    return None


def refusal(state: State, instance: str, compiled: CompiledStep, values: Values) -> Failure | None:
    """Why a call is not to begin; None if it may, and for what is no call. Raises MissingValues."""
    if compiled.bounds is None or turn(instance) is None:
        return None
    call = state.called[instance]
    return objection(compiled.bounds, compiled.parameters, call, values.get(call.arguments))


def exceeded(state: State, name: str, step: StepState, compiled: CompiledStep) -> Failure | None:
    """Why a running attempt of an agent is to end: it has called tools too often."""
    calls = state.calls.get(name)
    if compiled.agent is None or compiled.spec.agent is None or calls is None:
        return None
    limit, made = compiled.agent.limits.tool_calls, calls.made(step.attempt)
    return beyond(compiled.spec.agent.name, limit, made) if made > limit else None


def given(state: State, instance: str, compiled: CompiledStep, values: Values) -> dict[str, Json]:
    """The arguments of a call, encoded, for what acts on it; of its approval: what people are shown."""
    call = call_around(state, instance)
    assert call is not None
    if compiled.spec.approval is not None:
        content = call.arguments
        named = content.digest if isinstance(content, Stored) else digest(canonical(content.value))
        shown = {"tool": Inline(call.tool), "arguments": content, "digest": Inline(named)}
        return {name: encode(value) for name, value in shown.items()}
    arguments: Any = values.get(call.arguments)
    return {name: encode(values.put(item)) for name, item in arguments.items()}


def task_of(arguments: dict[str, Json], values: Values) -> tuple[str, dict[str, Json]]:
    """What an agent that is a tool of another is asked: a text, and what it is shown beside it."""
    prompt: Any = arguments.get("prompt")
    text = None if prompt is None else values.get(decode_value(prompt))
    if not isinstance(text, str):
        return "", arguments
    return text, {name: value for name, value in arguments.items() if name != "prompt"}


def agent_input(
    state: State, name: str, asked: dict[str, Json], arguments: dict[str, Json]
) -> dict[str, Json]:
    """What the code of an agent is given: its task, what it is told, its tools, its limits.

    `history` and `summary` are of its conversation, which whoever hands this over knows.
    """
    plan = state.plan
    assert plan is not None
    compiled = plan.step(name)
    agent, step = compiled.agent, compiled.spec.agent
    assert agent is not None
    assert step is not None
    tools: list[Any] = [told(tool, plan.agents, plan.tools) for tool in agent.tools]
    return {
        "name": step.name,
        "system": agent.system,
        "prompt": asked["prompt"],
        "input": arguments,
        "tools": tools,
        "outputSchema": compiled.spec.output_schema or agent.output_schema,
        "repairs": agent.repairs,
        "limits": {"turns": agent.limits.turns, "toolCalls": agent.limits.tool_calls},
        "maxTokens": agent.max_tokens,
        "temperature": agent.temperature,
        "history": [],
        "summary": None,
        "memoryTokens": None if agent.memory is None else agent.memory.max_tokens,
    }


def conversation_of(state: State, name: str, values: Values) -> str | None:
    """The conversation that an attempt of an agent with a memory goes on with. Raises MissingValues."""
    assert state.plan is not None
    payload, agent = state.steps[name].payload, state.plan.step(name).agent
    if agent is None or agent.memory is None or payload is None:
        return None
    content: Any = values.get(payload)
    found = content["agent"].get("conversation")
    return None if found is None else str(found)


def busy(state: State, name: str) -> bool:
    """Whether an agent waits for calls that it has made, and so does nothing itself."""
    calls = state.calls.get(name)
    if calls is None:
        return False
    return any(not state.steps[instance].status.terminal for instance in calls.instances.values())


def made_words(state: State, name: str) -> str | None:
    """How many tools an agent has called, for people; None where there is nothing to say."""
    calls = state.calls.get(name)
    if calls is None:
        return None
    refused = sum(
        state.steps[item].reason in (Reason.TOOL_REFUSED, Reason.TOOL_NOT_ALLOWED, Reason.TOOL_LIMIT_EXCEEDED)
        for item in calls.instances.values()
    )
    told = counted(len(calls.instances), "call") + " of tools"
    return f"{told}, {refused} refused" if refused else told
