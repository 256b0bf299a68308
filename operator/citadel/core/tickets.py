"""Concurrency groups: whose turn it is, from where each stands. Pure, and without a counter.

Whoever asks holds the group's lock: what is found here stays true until the answer is recorded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from citadel.api.workflow import Concurrency


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where an execution stands in the queue of its group."""

    uid: str
    among: str
    """What the group is of: a namespace, or one run on somebody's machine."""
    group: str
    since: float
    """When it was asked for."""
    queued_at: float
    limit: int

    @property
    def order(self) -> tuple[float, float, str]:
        """First come, first served. An API server tells seconds only; within one the journal decides."""
        return self.since, self.queued_at, self.uid


@dataclass(frozen=True, slots=True)
class Holder:
    """An execution of a group."""

    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a ticket stands among the others of its group."""

    holders: tuple[Holder, ...] = ()
    """Those whose turn it is, and who have not ended."""
    ahead: int = 0
    """How many wait that came before it. Who is suspended lets others pass."""
    behind: int = 0
    """How many wait that came after it."""

    def told(self, limit: int) -> str:
        """Which limit it is, and who runs."""
        names = [holder.name for holder in self.holders]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"limit {limit}; running: {', '.join(names[:3]) or 'none'}{more}"


class NoTurn(Exception):
    """It will never be its turn, for the reason that the message says."""


def is_turn(standing: Standing, group: str, concurrency: Concurrency, around: Sequence[str] = ()) -> bool:
    """Whether an execution may begin; `around` are the uids of those it is within. Raises NoTurn."""
    limit = concurrency.limit
    above = [holder.name for holder in standing.holders if holder.uid in around]
    if len(above) >= limit:
        raise NoTurn(
            f"waits for its own ancestor {', '.join(above)}, which waits for it: concurrency group {group!r} "
            f"(limit {limit})"
        )
    if len(standing.holders) < limit and not standing.ahead:
        return True
    if concurrency.policy == "reject":
        waiting = "; others wait" if standing.ahead else ""
        raise NoTurn(f"no room in concurrency group {group!r} ({standing.told(limit)}{waiting})")
    return False


def position(standing: Standing, ticket: Ticket) -> str:
    """Where in the queue a ticket is, for people."""
    place, total = standing.ahead + 1, standing.ahead + 1 + standing.behind
    told = standing.told(ticket.limit)
    return f"position {place} of {total} in concurrency group {ticket.group!r} ({told})"


def took_place(name: str, ticket: Ticket) -> str:
    """Why one is cancelled: `name` took its place."""
    return f"Execution {name}, which is newer, took its place in concurrency group {ticket.group!r}"


def superseded(older: Sequence[Holder], limit: int, around: Sequence[str] = ()) -> Iterator[Holder]:
    """Whose place one takes that cancels: of `older`, the newest first, all but those there is room for.

    Not those that it is within: they would take it with them.
    """
    room = limit - 1
    room -= sum(holder.uid in around for holder in older)
    others = [holder for holder in older if holder.uid not in around]
    yield from others[max(room, 0) :]
