"""The other direction: how a sandbox that has work learns that it is to stop."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from citadel.core.state import State
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry
from citadel.gateway.sessions import Session
from citadel.store.sandboxes import Sandboxes
from citadel.store.waking import Waker

HEARTBEAT_SECONDS = 10.0
#: Longest wait for a notice; behind a lost one stands another look.
LOOK_SECONDS = 5.0
CANCEL_GRACE = 10


class Heartbeats:
    """Takes and answers heartbeats."""

    def __init__(self, registry: Registry, sandboxes: Sandboxes, waker: Waker) -> None:
        self._registry, self._sandboxes, self._waker = registry, sandboxes, waker

    async def answer(self, session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
        """Notes that the runner lives; answers after a while, or with what it was not `told` yet."""
        await self._sandboxes.heartbeat([session.sandbox])
        deadline = time.monotonic() + HEARTBEAT_SECONDS
        known = (told.get("step"), told.get("attempt"), told.get("cancelling"))
        while True:
            expected = self._waker.expect(f"control {session.uid}", f"sandbox {session.sandbox}")
            try:
                known_uid = session.uid
                drain, cancel = await self._wishes(session)
                if session.uid != known_uid:
                    continue  # claimed just now: there is more to listen to
                cancel = [item for item in cancel if item != known]
                left = deadline - time.monotonic()
                if cancel or drain or left <= 0:
                    names = ("step", "attempt", "graceSeconds")
                    return {
                        "cancel": [dict(zip(names, item, strict=True)) for item in cancel],
                        "drain": drain,
                    }
                await expected.met(min(LOOK_SECONDS, left))
            finally:
                expected.close()

    async def _wishes(self, session: Session) -> tuple[bool, list[tuple[str, int, int]]]:
        """Whether the sandbox is to end, and what it is to cancel."""
        try:
            if not await self._registry.claimed(session):
                return False, []
        except Refused:
            return True, []
        state = await self._registry.read(session)
        drain = not state.sandboxes[session.sandbox].usable
        return drain, list(_cancellations(state, session.sandbox))


def _cancellations(state: State, sandbox: str) -> Iterator[tuple[str, int, int]]:
    """Step, attempt and grace of what this sandbox is to end."""
    step = state.sandboxes[sandbox].step
    if step is not None and (state.stopping or state.finished is not None):
        at_once = state.finished is not None or (state.stop is not None and state.stop.mode == "Terminate")
        yield step, state.steps[step].attempt, 0 if at_once else CANCEL_GRACE
