"""Signals on their way into the log: the api leaves them here, the controller makes facts of them.

So the api appends to one table and to no log, and a signal that was accepted is delivered whoever is away.
"""

from dataclasses import dataclass
from typing import Protocol

from citadel.core.jsonvalues import Json


@dataclass(frozen=True)
class SignalRow:
    """A signal that is not in the log yet."""

    uid: str
    """Of its execution."""
    name: str
    key: str
    """Of two signals of one name and key the second is the first one again."""
    payload: Json

    @property
    def id(self) -> str:
        """What the log knows it by."""
        return f"{self.name}/{self.key}"


class Signals(Protocol):
    """The signals that wait to be delivered."""

    async def send(self, signal: SignalRow) -> None:
        """Leaves a signal; the same again changes nothing. Raises ExecutionUnknown."""
        ...

    async def waiting(self) -> list[str]:
        """Uids of the executions that have any."""
        ...

    async def of(self, uid: str) -> list[SignalRow]:
        """Those of an execution, in the order they came."""
        ...

    async def delivered(self, signal: SignalRow) -> None:
        """Forgets one that is in the log, or that nobody will take any more."""
        ...
