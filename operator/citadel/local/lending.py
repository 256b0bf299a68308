"""Interpreters of agents, from one attempt to the next: what they load takes a second, and each attempt is a
fork of its own in any case.
"""

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.local.artifacts import Parcels
from citadel.local.capture import Output
from citadel.local.sandbox import LocalSandbox

if TYPE_CHECKING:
    from citadel.local.door import Attendant

#: Interpreters that wait: each takes a hundred megabytes.
_MOST = 4


class Kept:
    """Sandboxes that wait for another attempt. They end with this."""

    def __init__(self) -> None:
        self._idle: list[LocalSandbox] = []
        weakref.finalize(self, _close, self._idle)

    def take(self) -> LocalSandbox | None:
        """One that waits, and is the taker's now."""
        while self._idle:
            found = self._idle.pop()
            if found.runs:
                return found
            found.close()
        return None

    def give(self, sandbox: LocalSandbox) -> None:
        """Keeps one, unless there are enough."""
        if len(self._idle) < _MOST:
            self._idle.append(sandbox)
        else:
            sandbox.close()


def _close(idle: list[LocalSandbox]) -> None:
    while idle:
        idle.pop().close()


class Lent:
    """A `Sandbox` that is given back where another attempt may have it."""

    def __init__(self, kept: Kept, make: Callable[[], LocalSandbox]) -> None:
        self._kept, self._make = kept, make
        self._sandbox: LocalSandbox | None = None
        self._whole = False
        """Whether it has started, and every attempt has come to its end."""

    @property
    def spent(self) -> bool:
        """Whether it can take no further attempt; see `Sandbox`."""
        return self._sandbox is not None and self._sandbox.spent

    async def start(self) -> None:
        """Takes one that waits, else starts one; raises SandboxEnded, OSError."""
        self._sandbox = self._kept.take()
        if self._sandbox is None:
            self._sandbox = self._make()
            await self._sandbox.start()
        self._whole = True

    async def run(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        parcels: Parcels,
        output: Output,
        attendant: "Attendant | None" = None,
    ) -> "Json | Failure":
        """Runs one attempt to its end; see `Sandbox`."""
        assert self._sandbox is not None
        self._whole = False
        result = await self._sandbox.run(given, arguments, parcels, output, attendant)
        self._whole = True
        return result

    def cancel(self, grace: float) -> None:
        """Asks the running attempt to end."""
        if self._sandbox is not None:
            self._sandbox.cancel(grace)

    def close(self) -> None:
        """Gives it back, or ends it."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is None:
            return
        if self._whole and not sandbox.spent:
            self._kept.give(sandbox)
        else:
            sandbox.close()
