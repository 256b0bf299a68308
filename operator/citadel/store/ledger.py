"""What keeps the books of calls: before each it reserves, afterwards it settles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from citadel.core.events import Usage
from citadel.core.spending import Account, Reservation
from citadel.store.model_records import ModelRecord


class OverBudget(Exception):
    """A call could go beyond a budget; the message says which, and by what."""


class OutOfTurns(Exception):
    """An attempt has asked as often as its agent may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"limits.turns is {limit}, and as many calls were made")


class NotGranted(Exception):
    """The attempt has no grant any more: it is over."""


class Answered(Exception):
    """The same request was answered before: there is nothing to reserve."""

    def __init__(self, record: ModelRecord) -> None:
        super().__init__("answered before")
        self.record = record


class Throttled(Exception):
    """The Model's rate limit lets no call through for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"its rateLimit lets the next call through in {seconds:.0f}s")
        self.seconds = seconds


@dataclass(frozen=True)
class Spent:
    """What the calls of an attempt have taken."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    calls: int = 0
    estimated: bool = False
    model: str = field(default="", compare=False)
    """The name of the Model that was asked last."""
    provider: str = field(default="", compare=False)


class Ledger(Protocol):
    """The books."""

    async def open(self, accounts: Sequence[Account]) -> None:
        """Makes accounts that are not there, ahead of the first call that they are to pay."""
        ...

    async def reserve(self, reservation: Reservation) -> str:
        """Sets aside what a call may take, in all its accounts at once, and names the reservation.

        Raises OverBudget and Throttled, with a turn OutOfTurns and NotGranted, with a digest Answered before
        all of these; then nothing is set aside.
        """
        ...

    async def settle(
        self, name: str, input_tokens: int, output_tokens: int, cost: int, record: ModelRecord | None = None
    ) -> None:
        """What the call took is known; the rest is given back. A reservation that is charged stays so.

        With it `record` is written, unless the attempt is over; the first answer to a request stays.
        """
        ...

    async def charge(self, name: str, record: ModelRecord | None = None) -> None:
        """Nobody knows what the call took: it counts in full, as an estimate. `record` as in `settle`."""
        ...

    async def unanswered(self, uid: str, step: str, attempt: int) -> None:
        """A call that had its turn gave nothing: it counts no longer among the calls of its attempt."""
        ...

    async def spent(self, uid: str, step: str, attempt: int) -> Spent:
        """What the calls of an attempt have taken so far; what is still reserved counts in full."""
        ...

    async def usage(self, uid: str) -> Mapping[str, Usage]:
        """The same of all attempts of an execution, by step."""
        ...


async def taken(ledger: Ledger, uid: str, step: str, attempt: int) -> Usage | None:
    """What the calls of one attempt of an agent have taken; None where it made none."""
    spent = await ledger.spent(uid, step, attempt)
    if not spent.calls:
        return None
    return Usage(
        spent.model,
        spent.provider,
        spent.input_tokens,
        spent.output_tokens,
        spent.cost,
        spent.calls,
        spent.estimated,
    )
