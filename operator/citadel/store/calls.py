"""Calls that steps wait for, and that other processes make: placed by the controller, each taken by one
holder at a time, who says again and again that it is still there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar


@dataclass(frozen=True)
class PlacedCall:
    """A call with all that whoever makes it has to know of the cluster."""

    uid: str
    step: str
    attempt: int
    namespace: str
    body: Mapping[str, Any]
    """What to ask, and on whose account: of a model see `core/models.py`, of a tool `core/toolcalls.py`."""
    hosts: tuple[str, ...] = ()
    """Destinations where it may be asked."""
    sealed: Mapping[str, str] | None = field(default=None, repr=False)
    """The credentials, by what they are for, sealed to the process that makes the call."""
    sent: bool = False
    """Whether something was sent already that cannot be taken back, by a holder who said no more."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is known by."""
        return self.uid, self.step, self.attempt


@dataclass(frozen=True)
class Passage:
    """What a token stands for, while its call is being made."""

    uid: str
    """Empty where no execution wants it: a check."""
    step: str
    attempt: int
    namespace: str
    hosts: tuple[str, ...]


class Passages(Protocol):
    """What tokens stand for."""

    async def passage(self, token_hash: str) -> Passage | None:
        """What the token of this hash stands for now."""
        ...


Row = TypeVar("Row")


class Leases(Protocol[Row]):
    """Rows of work. Each has one holder at a time, whose lease it is to renew."""

    async def take(self, holder: str, tokens: Mapping[str, str], seconds: float) -> list[tuple[Row, str]]:
        """Rows that nobody holds, at most one for each of `tokens` (token -> its hash), each with its token.

        Of a call of a model: whatever its last holder had reserved for it counts in full from now on.
        """
        ...

    async def renew(self, holder: str, row: Row, seconds: float) -> bool:
        """Whether the row is still the holder's, for so long from now."""
        ...


class Calls(Leases[PlacedCall], Passages, Protocol):
    """The calls that are to be made."""

    async def place(self, call: PlacedCall) -> None:
        """Leaves a call to be made; one that is there stays as it is. Raises ExecutionUnknown."""
        ...

    async def remove(self, holder: str, call: PlacedCall) -> None:
        """The call is over, if it is still the holder's; what is still reserved for it counts in full."""
        ...


class ToolCalls(Calls, Protocol):
    """Those of tools."""

    async def sending(self, holder: str, call: PlacedCall) -> bool:
        """Whether the call is still the holder's: from now on it counts as sent."""
        ...
