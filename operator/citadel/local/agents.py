"""Attempts of agents on this machine: who answers them, as door, gateway and ledger do in a cluster.

What an agent says of itself counts for nothing: its step and attempt are known from its sandbox.
"""

import asyncio
from dataclasses import replace
from typing import Any

from citadel.core import events as ev
from citadel.core.agents import call_key, call_of, outcome
from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.spending import Account, Turn
from citadel.core.values import Stored, Values
from citadel.llm import chat
from citadel.llm.asked import Failed
from citadel.llm.asking import PassOn
from citadel.local.clocks import Bell, Clock, Stuck
from citadel.local.door import Given, Refused
from citadel.local.execution import Execution
from citadel.local.means import Means
from citadel.store.conversations import key_of, reminded
from citadel.store.ledger import NotGranted

Accounts = tuple[Account, ...]


class Attending:
    """`Attendant` of one attempt, from its beginning to its end."""

    def __init__(
        self, execution: Execution, uid: str, given: Dispatch, sandbox: str, means: Means, accounts: Accounts
    ) -> None:
        assert execution.state.plan is not None
        compiled = execution.state.plan.step(given.step)
        assert compiled.agent is not None
        self._execution, self._given, self._sandbox, self._means = execution, given, sandbox, means
        self._key, self._accounts = (uid, given.step, given.attempt), accounts
        self._agent, self._open = compiled.agent, _Idle(execution.clock)

    async def begin(self) -> dict[str, Json]:
        """What the agent is given, with what it remembers; it may ask from now on."""
        await self._means.models.begin(self._key)
        agent: Any = self._given.arguments["agent"]
        state, values = self._execution.state, Values()
        payload = state.steps[self._given.step].payload
        if isinstance(payload, Stored):
            values.loaded[payload.digest] = await self._execution.value(payload)
        key = key_of(state, self._given.step, values)
        if key is not None:
            agent = await reminded(self._means.conversations, self._key, key, agent)
        return {"agent": agent}

    async def end(self) -> ev.Usage | None:
        """It asks no more; what it took."""
        return await self._means.models.end(self._key)

    async def ask(self, asked: chat.Asked, body: Json, pass_on: PassOn) -> Given:
        """Asks the Model, or gives what it has answered before; raises Refused."""
        turn = Turn(self._agent.limits.turns)
        question = (asked, body, pass_on)
        try:
            found = await self._means.models.turn(self._key, self._agent, self._accounts, turn, *question)
        except Failed as failed:
            if failed.stops:
                failure = replace(Failure.cut(failed.reason, failed.message), final=True)
                fact = ev.AttemptFailed(self._given.step, self._given.attempt, self._sandbox, failure)
                await self._execution.record(fact, Values())
            raise Refused(failed.reason, failed.message) from None
        except NotGranted as over:
            raise Refused("Superseded", str(over)) from None
        return Given(found.answer, found.model.rpartition("/")[2], (found.input_tokens, found.output_tokens))

    async def call(self, name: str, arguments: Json, id_: str) -> dict[str, Json]:
        """Records a call, and waits for what becomes of it; raises Refused."""
        given, execution = self._given, self._execution
        call = call_key(name, arguments, id_)
        values = Values()
        fact = ev.ToolCalled(given.step, given.attempt, call, name, values.put(arguments))
        await execution.record(fact, values)
        async with self._open:
            while True:
                news = execution.changed.listen()
                instance = call_of(execution.state, given.step, given.attempt, call)
                if instance is None:
                    raise Refused("Superseded", f"attempt {given.attempt} of step {given.step} is over")
                found = outcome(execution.state, instance)
                if found.status != "Running":
                    break
                await news
        if found.failure is not None:
            return {"status": "Failed", "reason": found.failure.reason, "message": found.failure.message}
        assert found.output is not None
        return {"status": "Succeeded", "output": await execution.value(found.output)}

    async def remember(self, summary: str, covers: int) -> None:
        """A summary stands for the first messages that the attempt was given."""
        if not await self._means.conversations.summarise(*self._key, summary, covers):
            raise Refused("BadRequest", f"covers: found {covers}, which this attempt was not given", 400)


class _Idle:
    """An agent that waits for calls of tools does nothing itself: a clock that leaps may leap meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._waiting = clock, 0
        self._over = Bell()
        self._standing_in: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._standing_in = asyncio.create_task(self._stand_in())

    async def __aexit__(self, *_: object) -> None:
        self._waiting -= 1
        if not self._waiting and self._standing_in is not None:
            self._standing_in.cancel()
            await asyncio.gather(self._standing_in, return_exceptions=True)

    async def _stand_in(self) -> None:
        try:
            await self._clock.wait(self._over)
        except Stuck:
            return  # whoever runs the execution is told the same
