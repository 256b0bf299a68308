"""An execution as it goes on: its log in order for every attempt, and the steps that change."""

import asyncio
import time
from collections.abc import AsyncIterator, Container
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core.state import State
from citadel.core.usage import UsageOf, spent
from citadel.store.journal import Journal, LogChunk
from citadel.store.waking import Waker, steps_of
from citadel.web.describing import changed

BATCH = 500
LOOK_SECONDS = 1.0
#: Seconds for which the last chunks of an attempt that has ended are waited for.
LATE_SECONDS = 3.0
#: The same where nothing of the attempt has come yet: most print nothing, and no end mark comes of those.
SILENT_SECONDS = 1.0
#: Seconds after which an empty batch says that nothing came.
QUIET_SECONDS = 15.0
#: Seconds between two tellings of the steps that have changed.
PACE_SECONDS = 0.5


async def follow(
    journal: Journal, waker: Waker, uid: str, *, to_the_end: bool
) -> AsyncIterator[list[LogChunk]]:
    """Batches of chunks. Ends with the log, or without `to_the_end` when all that was said is told.

    A batch may be empty: nothing came for a while. Raises what the journal raises.
    """
    after: dict[tuple[str, int], int] = {}
    ended: set[tuple[str, int]] = set()
    patience: float | None = None
    told = time.monotonic()
    while True:
        expected = waker.expect(f"log {uid}", *steps_of(uid))
        try:
            chunks = await journal.logs(uid, after, BATCH)
            for chunk in chunks:
                after[chunk.step, chunk.attempt] = max(chunk.n, after.get((chunk.step, chunk.attempt), -1))
                if chunk.stream == "end":
                    ended.add((chunk.step, chunk.attempt))
            if chunks:
                patience, told = None, time.monotonic()
                yield [chunk for chunk in chunks if chunk.stream != "end"]
                continue
            state = await journal.read(uid)
            late = _late(state, after, ended, time.time())
            if not late and (state.finished is not None or not to_the_end):
                return
            if late and (state.finished is not None or not to_the_end):
                patience = patience or time.monotonic() + LATE_SECONDS
                if time.monotonic() >= patience:
                    return
            if time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                yield []
            expected.known = state.seq
            await expected.met(LOOK_SECONDS if patience is None else 0.2)
        finally:
            expected.close()


async def changes(
    journal: Journal, waker: Waker, uid: str, usage: UsageOf | None = None
) -> AsyncIterator[dict[str, Any] | None]:
    """An execution with all its steps, then with those that have changed, until it has ended.

    None: nothing came for a while. Raises what the journal raises.
    """
    before = State()
    told = float("-inf")
    while True:
        expected = waker.expect(*steps_of(uid))
        try:
            state = await journal.read(uid)
            if state.seq != before.seq or told == float("-inf"):
                yield changed(before, state, await spent(state, uid, usage))
                before, told = state, time.monotonic()
                if state.finished is not None:
                    return
                await asyncio.sleep(PACE_SECONDS)
                continue
            if time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                yield None
            expected.known = state.seq
            await expected.met(LOOK_SECONDS)
        finally:
            expected.close()


def _late(
    state: State, seen: Container[tuple[str, int]], ended: Container[tuple[str, int]], now: float
) -> bool:
    """Whether an attempt has ended lately whose log has not."""

    def patience(key: tuple[str, int]) -> float:
        return LATE_SECONDS if key in seen else SILENT_SECONDS

    return any(
        step.sandbox is not None
        and step.status in (StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED)
        and (name, step.attempt) not in ended
        and now - (step.finished_at or 0.0) < patience((name, step.attempt))
        for name, step in state.steps.items()
    )
