"""Work as it is taken and held, each piece under a lease, so that what a dead process held goes on.

Nothing of what is asked or answered is logged, and no key.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.core.state import State
from citadel.core.values import Values
from citadel.store.calls import Calls, Leases, PlacedCall
from citadel.store.journal import ExecutionUnknown, Journal, JournalUnavailable, Notice

log = logging.getLogger(__name__)

#: Pieces of work that one process does at a time.
MOST = 100
#: Seconds for which a piece is its holder's, and after which it says again that it is.
LEASE_SECONDS, RENEW_SECONDS = 20.0, 4.0
#: Seconds between two looks for work, should a notice be lost.
LOOK_SECONDS = 1.0
_PAUSE = 1.0


class Keyed(Protocol):
    """A piece of work."""

    @property
    def key(self) -> tuple[Any, ...]: ...


Row = TypeVar("Row", bound=Keyed)


class Worker(Generic[Row]):
    """Does work that is announced as `topic`; what it shows the egress proxy begins with `prefix`."""

    topic: str
    prefix: str

    def __init__(self, rows: Leases[Row]) -> None:
        self._rows = rows
        self.holder = secrets.token_hex(8)
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._stirred: dict[tuple[Any, ...], asyncio.Event] = {}
        """Of each piece that is being done: set when it may be wanted no longer."""

    async def serve(self, row: Row, token: str) -> None:
        """One piece of work, from its taking to its end."""
        raise NotImplementedError

    async def wants(self, row: Row) -> bool:
        """Whether it is still to be done."""
        return True

    @property
    def under_way(self) -> int:
        """How many pieces are being done."""
        return len(self._tasks)

    def take(self, notice: Notice) -> None:
        """Something happened in the journal."""
        if notice.topic in (self.topic, "listening"):
            self._news.set()
        elif notice.topic == "control":
            for key, stirred in self._stirred.items():
                if key[0] == notice.id:
                    stirred.set()

    async def work(self) -> None:
        """One round of taking work."""
        self._news.clear()
        room = min(MOST - len(self._tasks), 20)
        tokens = [f"{self.prefix}{secrets.token_urlsafe(24)}" for _ in range(room)]
        shown = {token: hashed(token) for token in tokens}
        taken = await self._rows.take(self.holder, shown, LEASE_SECONDS) if room else []
        for row, token in taken:
            task = asyncio.create_task(self.serve(row, token))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if len(taken) < max(1, room):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()

    async def close(self, grace: float = 0.0) -> None:
        """Gives up what is under way after so many seconds: another takes it, once the lease is over."""
        if grace and self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        if len(self._tasks) >= MOST:
            self._news.set()  # there is room again for what was left
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its text may hold what a user wrote; the lease runs out, and it is done again.
            log.error("%s: a call was not finished: %s", self.topic, type(error).__name__)

    async def renew(self, row: Row) -> bool:
        """Whether it is still this process's."""
        return await self._rows.renew(self.holder, row, LEASE_SECONDS)

    async def hold(self, row: Row, doing: "asyncio.Task[Any]") -> bool:
        """Waits for what is being done, renewing the lease; False when it is given up, and was cancelled."""
        stirred = self._stirred[row.key] = asyncio.Event()
        try:
            while not doing.done():
                stir = asyncio.create_task(stirred.wait())
                await asyncio.wait((doing, stir), timeout=RENEW_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                stir.cancel()
                stirred.clear()
                if not doing.done() and not await self._goes_on(row):
                    return False
            return True
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
            self._stirred.pop(row.key, None)

    async def _goes_on(self, row: Row) -> bool:
        try:
            return await self.renew(row) and await self.wants(row)
        except JournalUnavailable:
            return True
        except ExecutionUnknown:
            return False


class Attempted(Protocol):
    """What a step wants of one of its attempts."""

    @property
    def attempt(self) -> int: ...


Wanted = TypeVar("Wanted", bound=Attempted)


class CallWorker(Worker[PlacedCall], Generic[Wanted]):
    """Makes calls that steps wait for, and records what comes of them."""

    def __init__(self, journal: Journal, calls: Calls) -> None:
        super().__init__(calls)
        self.journal, self._calls = journal, calls

    def find(self, state: State, step: str) -> Wanted | None:
        """The call that a step waits for; None when it waits for none."""
        raise NotImplementedError

    async def answer(self, placed: PlacedCall, token: str, wanted: Wanted) -> tuple[ev.Event, Values] | None:
        """The call: the fact to record, and the values that it names; None where it is somebody else's by
        now."""
        raise NotImplementedError

    def given_up(self, wanted: Wanted) -> ev.Event:
        """The fact that a call was not made, as its execution has stopped."""
        raise NotImplementedError

    async def wants(self, row: PlacedCall) -> bool:
        """It is given up at once when its execution stops."""
        state = await self.journal.read(row.uid)
        return not state.stopping and self._awaited(state, row) is not None

    async def serve(self, row: PlacedCall, token: str) -> None:
        """The life of one call."""
        with suppress(ExecutionUnknown):
            state = await self.journal.read(row.uid)
            wanted = self._awaited(state, row)
            if wanted is not None and state.stopping and not row.sent:
                await self._record(row, self.given_up(wanted), Values())
            elif wanted is not None:
                answered = await self.answer(row, token, wanted)
                if answered is None:
                    return
                await self._record(row, *answered)
        await self._calls.remove(self.holder, row)

    def _awaited(self, state: State, placed: PlacedCall) -> Wanted | None:
        """What is wanted, while the attempt of a call waits for it."""
        wanted = self.find(state, placed.step)
        return wanted if wanted is not None and wanted.attempt == placed.attempt else None

    async def _record(self, placed: PlacedCall, fact: ev.Event, values: Values) -> None:
        """Into the journal: an answer that was paid for is not lost because the database is away."""
        while True:
            try:
                await self.journal.advance(placed.uid, [fact], outputs=values.made)
                return
            except JournalUnavailable:
                await asyncio.sleep(_PAUSE)
                with suppress(JournalUnavailable):
                    await self.renew(placed)
