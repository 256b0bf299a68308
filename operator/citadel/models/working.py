"""Calls of models as they are taken, made and answered.

A call whose execution waits for it no longer is given up. Neither prompts nor answers nor keys are logged.
"""

import asyncio
import time
from collections.abc import Callable

from citadel.api.reasons import Reason
from citadel.calls.dialling import Ticket
from citadel.calls.working import CallWorker
from citadel.core import events as ev
from citadel.core.models import Wanted, failed, question_of, wanted_by
from citadel.core.outside import NOT_STARTED
from citadel.core.spending import Account
from citadel.core.state import State
from citadel.core.values import Values
from citadel.llm.asked import Target, Told
from citadel.llm.asking import Common
from citadel.llm.calling import Call, Caller
from citadel.llm.provider import Provider
from citadel.store.calls import Calls, PlacedCall
from citadel.store.journal import Journal, json_of
from citadel.store.ledger import Ledger

#: Makes the way to a Model, with the sealed credential of it, if any, and what the proxy is shown.
Way = Callable[[Target, str | None, Ticket], Provider]


class ModelWorker(CallWorker[Wanted]):
    """Makes calls. `way` opens the credential of a Model and makes the way to it."""

    topic, prefix = "model", "model."

    def __init__(
        self,
        journal: Journal,
        calls: Calls,
        ledger: Ledger,
        way: Way,
        tell: Callable[[Told], None] = lambda told: None,
        common: Common | None = None,
    ) -> None:
        super().__init__(journal, calls)
        self._ledger, self._way, self._tell = ledger, way, tell
        self._common = common or Common()

    def find(self, state: State, step: str) -> Wanted | None:
        """The call that a step waits for; None when it waits for none."""
        return wanted_by(state, step)

    def given_up(self, wanted: Wanted) -> ev.ModelAnswered:
        """The fact that a call was not made."""
        return failed(wanted, Reason.CANCELLED, NOT_STARTED)

    async def answer(
        self, placed: PlacedCall, token: str, wanted: Wanted
    ) -> tuple[ev.ModelAnswered, Values] | None:
        """The call, within the step's time."""
        call = await self._call(placed, wanted)
        ticket = Ticket(token, placed.step, placed.attempt)
        sealed = placed.sealed or {}
        caller = Caller(
            self._ledger,
            lambda target: self._way(target, sealed.get(target.key), ticket),
            self._tell,
            common=self._common,
        )
        left = None if wanted.until is None else max(0.0, wanted.until - time.time())
        asking = asyncio.create_task(caller.answer(call, left))
        if await self.hold(placed, asking):
            return asking.result()
        if not await self.renew(placed):
            return None
        usage = await caller.usage(call, call.targets[0])
        return failed(call.wanted, Reason.CANCELLED, "cancelled with its execution", usage), Values()

    async def _call(self, placed: PlacedCall, wanted: Wanted) -> Call:
        payload = await json_of(self.journal, placed.uid, wanted.payload)
        targets = tuple(Target.placed(item) for item in placed.body["models"])
        accounts = tuple(Account(**item) for item in placed.body["accounts"])
        return Call(placed.uid, placed.namespace, wanted, question_of(payload), targets, accounts)
