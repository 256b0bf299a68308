"""Connections that sandboxes opened or were refused, as the egress proxy tells them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

#: Rows kept of one execution: code that opens connections in a loop fills no database.
MOST_OF_ONE = 10_000


@dataclass(frozen=True)
class ConnectionRow:
    """One connection. Times are seconds since the epoch on the proxy's clock."""

    id: str
    uid: str
    step: str
    attempt: int
    sandbox: str
    at: float
    host: str
    port: int
    address: str
    """What the name resolved to, and was dialled; empty when nothing was."""
    verdict: str
    """allowed or refused."""
    reason: str
    """Why it was refused, or cut later."""
    sent: int
    """Bytes from the sandbox."""
    received: int
    """Bytes to the sandbox."""
    seconds: float | None
    """How long it lasted; None while it is open."""


class ConnectionLog(Protocol):
    """What is kept of connections."""

    async def record(self, rows: Sequence[ConnectionRow]) -> None:
        """Stores rows; one whose id is known takes the place of that. Those of unknown executions are
        dropped, and those beyond MOST_OF_ONE of an execution."""
        ...

    async def of(self, uid: str, limit: int) -> list[ConnectionRow]:
        """The first connections of an execution, oldest first."""
        ...
