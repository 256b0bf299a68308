"""Calls as they are taken, made and answered; each under a lease, so that what a dead process held goes on.

A call whose execution waits for it no longer is given up. Neither prompts nor answers nor keys are logged.
"""

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.models import Wanted, failed, question_of, wanted_by
from citadel.core.spending import Account
from citadel.core.values import Values
from citadel.llm.calling import Call, Caller, Target, Told
from citadel.llm.provider import Provider
from citadel.models.dialling import Ticket
from citadel.store.journal import ExecutionUnknown, Journal, JournalUnavailable, Notice, json_of
from citadel.store.ledger import Ledger
from citadel.store.model_calls import ModelCalls, PlacedCall

log = logging.getLogger(__name__)

#: Calls that one process makes at a time.
MOST = 100
#: Seconds for which a call is its holder's, and after which it says again that it is.
LEASE_SECONDS, RENEW_SECONDS = 20.0, 4.0
#: Seconds between two looks for calls, should a notice be lost.
LOOK_SECONDS = 1.0
_PAUSE = 1.0
TOKEN_PREFIX = "model."  # noqa: S105 - what tokens of this process begin with

#: Makes the way to a Model, with the sealed credential of it, if any, and what the proxy is shown.
Way = Callable[[Target, str | None, Ticket], Provider]


def token_hash(token: str) -> str:
    """By what the database knows a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Worker:
    """Makes calls. `way` opens the credential of a Model and makes the way to it."""

    def __init__(
        self,
        journal: Journal,
        calls: ModelCalls,
        ledger: Ledger,
        way: Way,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> None:
        self._journal, self._calls, self._ledger = journal, calls, ledger
        self._way, self._tell = way, tell
        self._holder = secrets.token_hex(8)
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._stirred: dict[tuple[str, str, int], asyncio.Event] = {}
        """Of each call that is being made: set when its execution may want it no longer."""

    @property
    def under_way(self) -> int:
        """How many calls are being made."""
        return len(self._tasks)

    def take(self, notice: Notice) -> None:
        """Something happened in the journal."""
        if notice.topic in ("model", "listening"):
            self._news.set()
        elif notice.topic == "control":
            for (uid, _, _), stirred in self._stirred.items():
                if uid == notice.id:
                    stirred.set()

    async def work(self) -> None:
        """One round of taking calls."""
        self._news.clear()
        room = min(MOST - len(self._tasks), 20)
        tokens = [f"{TOKEN_PREFIX}{secrets.token_urlsafe(24)}" for _ in range(room)]
        hashed = {token: token_hash(token) for token in tokens}
        taken = await self._calls.take(self._holder, hashed, LEASE_SECONDS) if room else []
        for placed, token in taken:
            task = asyncio.create_task(self._serve(placed, token))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if len(taken) < max(1, room):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()

    async def close(self) -> None:
        """Gives up what is under way: another takes it, once the lease is over."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its text may hold what a user wrote; the lease runs out, and the call is made again.
            log.error("a call was not finished: %s", type(error).__name__)

    async def _serve(self, placed: PlacedCall, token: str) -> None:
        """The life of one call."""
        with suppress(ExecutionUnknown):
            wanted = await self._wanted(placed)
            if wanted is not None:
                answered = await self._answer(placed, wanted, token)
                if answered is None:
                    return
                await self._record(placed, *answered)
        await self._calls.remove(self._holder, placed)

    async def _wanted(self, placed: PlacedCall) -> Wanted | None:
        """What is wanted, if it still is."""
        state = await self._journal.read(placed.uid)
        wanted = wanted_by(state, placed.step)
        return wanted if wanted is not None and wanted.attempt == placed.attempt else None

    async def _answer(
        self, placed: PlacedCall, wanted: Wanted, token: str
    ) -> tuple[ev.ModelAnswered, Values] | None:
        """The fact to record; None where the call is somebody else's by now."""
        call = await self._call(placed, wanted)
        ticket = Ticket(token, placed.step, placed.attempt)
        sealed = placed.sealed or {}
        caller = Caller(
            self._ledger, lambda target: self._way(target, sealed.get(target.key), ticket), self._tell
        )
        left = None if wanted.until is None else max(0.0, wanted.until - time.time())
        stirred = self._stirred[placed.key] = asyncio.Event()
        asking = asyncio.create_task(caller.answer(call, left))
        try:
            while not asking.done():
                stir = asyncio.create_task(stirred.wait())
                await asyncio.wait((asking, stir), timeout=RENEW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                stir.cancel()
                if asking.done():
                    break
                stirred.clear()
                if not await self._goes_on(placed):
                    return await self._given_up(placed, caller, call, asking)
            return asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            self._stirred.pop(placed.key, None)

    async def _goes_on(self, placed: PlacedCall) -> bool:
        """Whether the call is still to be made, and by this process."""
        try:
            if not await self._calls.renew(self._holder, placed, LEASE_SECONDS):
                return False
            state = await self._journal.read(placed.uid)
        except JournalUnavailable:
            return True
        except ExecutionUnknown:
            return False
        return not state.stopping and await self._wanted(placed) is not None

    async def _given_up(
        self,
        placed: PlacedCall,
        caller: Caller,
        call: Call,
        asking: "asyncio.Task[tuple[ev.ModelAnswered, Values]]",
    ) -> tuple[ev.ModelAnswered, Values] | None:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        if not await self._calls.renew(self._holder, placed, LEASE_SECONDS):
            return None
        usage = await caller.usage(call, call.targets[0])
        return failed(call.wanted, Reason.CANCELLED, "cancelled with its execution", usage), Values()

    async def _call(self, placed: PlacedCall, wanted: Wanted) -> Call:
        payload = await json_of(self._journal, placed.uid, wanted.payload)
        targets = tuple(
            Target(item["name"], item["key"], ModelSpec.model_validate(item["spec"]))
            for item in placed.body["models"]
        )
        accounts = tuple(Account(**item) for item in placed.body["accounts"])
        return Call(placed.uid, placed.namespace, wanted, question_of(payload), targets, accounts)

    async def _record(self, placed: PlacedCall, fact: ev.ModelAnswered, values: Values) -> None:
        """Into the journal: an answer that was paid for is not lost because the database is away."""
        while True:
            try:
                await self._journal.advance(placed.uid, [fact], outputs=values.made)
                return
            except JournalUnavailable:
                await asyncio.sleep(_PAUSE)
                await self._goes_on(placed)
