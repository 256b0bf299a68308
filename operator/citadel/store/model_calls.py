"""Calls of models that wait to be made: placed by the controller, taken and made by a model gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class PlacedCall:
    """A call with all that the model gateway has to know of the cluster."""

    uid: str
    step: str
    attempt: int
    namespace: str
    body: Mapping[str, Any]
    """The Models to ask, in order, and the accounts that pay."""
    hosts: tuple[str, ...] = ()
    """Destinations where it may be asked."""
    sealed: Mapping[str, str] | None = field(default=None, repr=False)
    """The credentials, by Model, sealed to the model gateways."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is known by."""
        return self.uid, self.step, self.attempt


@dataclass(frozen=True)
class Passage:
    """What a token of the model gateway stands for, while its call is being made."""

    uid: str
    step: str
    attempt: int
    namespace: str
    hosts: tuple[str, ...]


class ModelCalls(Protocol):
    """The calls that are to be made. Each has one holder at a time, whose lease it is to renew."""

    async def place(self, call: PlacedCall) -> None:
        """Leaves a call to be made; one that is there stays as it is. Raises ExecutionUnknown."""
        ...

    async def take(
        self, holder: str, tokens: Mapping[str, str], seconds: float
    ) -> list[tuple[PlacedCall, str]]:
        """Calls that nobody makes, at most one for each of `tokens` (token -> its hash), each with its token.

        Whatever its last holder had reserved for it counts in full from now on.
        """
        ...

    async def renew(self, holder: str, call: PlacedCall, seconds: float) -> bool:
        """Whether the call is still the holder's to make, for so long from now."""
        ...

    async def remove(self, holder: str, call: PlacedCall) -> None:
        """The call is over, if it is still the holder's; what is still reserved for it counts in full."""
        ...

    async def passage(self, token_hash: str) -> Passage | None:
        """What the token of this hash stands for now."""
        ...
