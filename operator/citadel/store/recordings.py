"""What agents did in an execution, gathered from its journal and the records of its models."""

from collections.abc import Sequence
from typing import Any

from citadel.api.cassette import ModelCall, RecordedAttempt, ToolCall
from citadel.api.reasons import StepStatus
from citadel.core.agents import outcome
from citadel.core.dispatch import dispatch
from citadel.core.failures import Failure
from citadel.core.spending import dollars
from citadel.core.state import State, StepState, listed
from citadel.core.values import MissingValues, Value
from citadel.store.conversations import Recalled
from citadel.store.journal import Journal, json_of
from citadel.store.model_records import ModelRecord, ModelRecords


async def recorded(
    journal: Journal,
    records: ModelRecords,
    recalled: Sequence[Recalled],
    state: State,
    step: str | None = None,
    prefix: str = "",
) -> list[RecordedAttempt]:
    """Each attempt of an agent that has ended, of one step or of all; `prefix` stands before their names.

    `recalled` is what they were given of their conversations.
    """
    assert state.created is not None
    assert state.plan is not None
    plan, uid = state.plan, state.created.uid
    given = await records.of(uid)
    remembered = {(one.step, one.attempt): one.remembered for one in recalled}
    found: list[RecordedAttempt] = []
    for name, now in listed(state):
        compiled = plan.step(name)
        if compiled.agent is None or compiled.is_loop(name) or step not in (None, name) or now.attempt < 1:
            continue
        if now.payload is None:
            continue
        agent = await _agent(journal, state, name)
        over = now.attempt if now.status.terminal else now.attempt - 1
        for attempt in range(1, over + 1):
            told = remembered.get((name, attempt))
            memory: dict[str, Any] = {}
            if told is not None and (told.history or told.summary):
                memory = {"history": [dict(one) for one in told.history], "summary": told.summary}
            own = [record for record in given if (record.step, record.attempt) == (name, attempt)]
            tools = await _tools(journal, state, name, attempt)
            end = await _end(journal, uid, now, attempt)
            models = tuple(_model(record) for record in sorted(own, key=lambda record: record.n))
            found.append(
                RecordedAttempt(
                    step=f"{prefix}{name}",
                    attempt=attempt,
                    agent=agent | memory,
                    models=models,
                    tools=tools,
                    **end,
                )
            )
    return found


async def _agent(journal: Journal, state: State, name: str) -> dict[str, Any]:
    """What an agent was given."""
    assert state.created is not None
    loaded: dict[str, Any] = {}
    while True:
        try:
            agent: Any = dispatch(state, name, loaded).arguments["agent"]
        except MissingValues as missing:
            loaded |= await journal.values(state.created.uid, sorted(missing.digests))
        else:
            return dict(agent)


def _model(record: ModelRecord) -> ModelCall:
    return ModelCall(
        digest=record.digest,
        answer=dict(record.answer),
        model=record.model.rpartition("/")[2],
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost=dollars(record.cost),
        request=record.request,
    )


async def _tools(journal: Journal, state: State, name: str, attempt: int) -> tuple[ToolCall, ...]:
    assert state.created is not None
    uid = state.created.uid
    calls = [(call, instance) for instance, call in state.called.items() if call.step == name]
    found = []
    for call, instance in sorted(calls, key=lambda item: item[0].order):
        if call.attempt != attempt:
            continue
        ended = outcome(state, instance)
        failure = ended.failure or Failure("Cancelled", "it had not ended")
        arguments = await json_of(journal, uid, call.arguments)
        if ended.status == "Succeeded" and ended.output is not None:
            output = await _value(journal, uid, ended.output)
            found.append(ToolCall(tool=call.tool, arguments=arguments, status="Succeeded", output=output))
        else:
            told = {"reason": str(failure.reason), "message": failure.message}
            found.append(ToolCall(tool=call.tool, arguments=arguments, status="Failed", **told))
    return tuple(found)


async def _end(journal: Journal, uid: str, now: StepState, attempt: int) -> dict[str, Any]:
    """What became of an attempt; of earlier ones than the last only their reason is known."""
    if attempt < now.attempt:
        reason = next((one.reason for one in now.tries[attempt - 1 : attempt]), "Error")
        return {"status": "Failed", "reason": str(reason), "message": ""}
    if now.status is StepStatus.SUCCEEDED and now.failure is None and now.output is not None:
        return {"status": "Succeeded", "output": await _value(journal, uid, now.output)}
    failure = now.failure or Failure(now.reason or "Error", now.message or "")
    return {"status": "Failed", "reason": str(failure.reason), "message": failure.message}


async def _value(journal: Journal, uid: str, value: Value) -> Any:
    return await json_of(journal, uid, value)
