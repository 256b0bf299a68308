"""Calls of tools that agents make from within sandboxes: recorded as facts, answered when they have ended.

Whether a call may be, and what it does, is decided in the journal. Nothing of a request is believed: the
session says who calls, and a call that was recorded is answered from the record.
"""

import time
from collections.abc import Mapping
from typing import Any

from citadel.core import events as ev
from citadel.core.agents import call_key, call_of, outcome
from citadel.core.jsonvalues import InvalidValue, Json, normalise
from citadel.core.state import State
from citadel.core.values import Values
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry, unknown
from citadel.gateway.sessions import Session
from citadel.store.journal import ExecutionUnknown, Journal, json_of
from citadel.store.waking import Waker, steps_of

#: Seconds for which a call is waited for; then it is to be asked for again.
HELD_SECONDS = 20.0
#: Longest wait for a notice; behind a lost one stands another look.
LOOK_SECONDS = 1.0
#: Characters of the name of a tool, and of what tells one call from another.
NAME_LIMIT = 200


class ToolCalls:
    """Takes calls, and answers them."""

    def __init__(self, journal: Journal, registry: Registry, waker: Waker) -> None:
        self._journal, self._registry, self._waker = journal, registry, waker

    async def answer(self, session: Session, step: str, attempt: int, body: bytes) -> dict[str, Any]:
        """How a call stands, which is made if it was not; raises Refused."""
        name, arguments, call = read_call(body)
        uid, values = await self._registry.execution_of(session), Values()
        # One that was recorded before is not recorded again, and one that may not be is not at all.
        fact = ev.ToolCalled(step, attempt, call, name, values.put(arguments), session.sandbox)
        try:
            state = (await self._journal.advance(uid, [fact], outputs=values.made)).state
        except ExecutionUnknown:
            raise unknown() from None
        check_under_way(state, session.sandbox, step, attempt)
        return await self._wait(session, uid, state, (step, attempt, call))

    async def _wait(
        self, session: Session, uid: str, state: State, called: tuple[str, int, str]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + HELD_SECONDS
        while True:
            expected = self._waker.expect(*steps_of(uid))
            expected.known = state.seq
            try:
                instance = call_of(state, *called)
                if instance is None:
                    check_under_way(state, session.sandbox, *called[:2])
                    raise Refused(409, "Superseded", f"step {called[0]} takes no more calls")
                found = outcome(state, instance)
                if found.output is not None:
                    return {"status": found.status, "output": await json_of(self._journal, uid, found.output)}
                if found.failure is not None:
                    failure = found.failure
                    return {"status": found.status, "reason": failure.reason, "message": failure.message}
                left = deadline - time.monotonic()
                if left <= 0:
                    return {"status": found.status}
                await expected.met(min(LOOK_SECONDS, left))
                state = await self._registry.read(session)
            finally:
                expected.close()


def read_call(body: bytes) -> tuple[str, Json, str]:
    """The name of a tool, its arguments, and by what this call is told from others; raises Refused.

    Arguments that are no object are the text that the model said: the engine refuses it, so it is recorded.
    """
    try:
        data = normalise(body)
    except InvalidValue as error:
        raise Refused(400, "BadRequest", f"the body: {error}") from None
    if not isinstance(data, Mapping):
        raise Refused(400, "BadRequest", "the body: expected a JSON object")
    name, made, arguments = data.get("name"), data.get("id"), data.get("arguments")
    for field, found in (("name", name), ("id", made)):
        if not (isinstance(found, str) and 0 < len(found) <= NAME_LIMIT):
            raise Refused(400, "BadRequest", f"{field}: expected a text of at most {NAME_LIMIT} characters")
    if not isinstance(arguments, dict | str):
        raise Refused(400, "BadRequest", "arguments: expected a JSON object, or the text that is none")
    return str(name), arguments, call_key(str(name), arguments, str(made))


def check_under_way(state: State, sandbox: str, step: str, attempt: int) -> None:
    """Raises Refused for what is no attempt of an agent that this sandbox has now."""
    found, mine = state.steps.get(step), state.sandboxes.get(sandbox)
    current = found is not None and (found.attempt, found.sandbox) == (attempt, sandbox)
    given = mine is not None and mine.step == step and f"{step}/{attempt}" in mine.given
    agent = state.plan is not None and found is not None and state.plan.step(step).agent is not None
    if not (current and given and agent):
        raise Refused(
            409, "Superseded", f"step {step} attempt {attempt} is no agent under way in this sandbox"
        )
