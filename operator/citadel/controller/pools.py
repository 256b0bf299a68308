"""What warm pools shall hold: from Runtimes, rows and demand to members to start and to end. Pure.

Demand is read from rows, so it survives every restart: how many sandboxes executions wanted of a pool's kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from citadel.store.sandboxes import Demand, SandboxRow

#: Seconds of one window of demand. A pool holds what was asked for in the busiest; then it has this long to
#: refill.
WINDOW = 5.0
#: Seconds after a claim in which no member is started beside what was claimed.
HOLD = 1.0
#: Seconds for which executions may hold back a pool that lacks members.
PATIENCE = 4.0
#: Seconds after a member that could not start, doubling, until the next one is tried.
BACKOFF, BACKOFF_LIMIT = 5.0, 300.0


@dataclass(frozen=True, eq=False)
class Pool:
    """The warm pool of one Runtime."""

    namespace: str
    """Of the Runtime."""
    runtime: str
    scope: str
    """The only namespace that it serves; empty for a shared Runtime."""
    key: str
    template: Mapping[str, Any]
    min: int
    max: int
    idle_ttl: float

    def holds(self, row: SandboxRow) -> bool:
        """Whether a member is one of this pool as the Runtime is now."""
        return (row.namespace, row.execution, row.pool) == (self.scope, self.runtime, self.key)

    def meets(self, demand: Demand) -> bool:
        """Whether it could have met this demand."""
        return demand.pool == self.key and self.scope in ("", demand.namespace)


@dataclass(frozen=True)
class Size:
    """How many members of a pool wait, start, and shall be."""

    ready: int
    starting: int
    wanted: int


@dataclass(frozen=True)
class Observed:
    """Everything the decision is made of. Times are seconds on the database's clock."""

    pools: Sequence[Pool]
    rows: Sequence[SandboxRow]
    """All that are not gone."""
    demand: Sequence[Demand]
    nodes: int
    now: float
    lacking_since: float | None = None
    """Since when some pool has lacked members."""
    not_before: Mapping[tuple[str, str], float] | None = None
    """Pools whose last member could not start, by Runtime: when to try again."""


@dataclass(frozen=True)
class Decision:
    """Members to end, at most one to start, and the sizes of all pools."""

    retire: tuple[str, ...]
    start: Pool | None
    sizes: Mapping[Pool, Size]
    lacking: bool
    """Whether a pool has fewer members than it shall have."""


def decide_pools(seen: Observed) -> Decision:
    """What follows for all pools."""
    members = [row for row in seen.rows if row.uid is None and row.status in ("wanted", "live")]
    retire = [row.name for row in members if not any(pool.holds(row) for pool in seen.pools)]
    sizes: dict[int, Size] = {}
    for number, pool in enumerate(seen.pools):
        mine = [row for row in members if pool.holds(row)]
        ready = [row for row in mine if row.status == "live"]
        wanted = desired(pool, seen.demand, seen.now)
        # The youngest go first: those that start, then those that came last.
        mine.sort(key=lambda row: (row.status == "live", -row.wanted_at))
        retire += [row.name for row in mine[: max(0, len(mine) - wanted)]]
        sizes[number] = Size(len(ready), len(mine) - len(ready), wanted)
    lacking = [
        (size.ready / size.wanted, number)
        for number, size in sizes.items()
        if size.ready + size.starting < size.wanted
    ]
    allowed = [number for _, number in sorted(lacking) if _may_try(seen, seen.pools[number])]
    start = seen.pools[allowed[0]] if allowed and not _held(seen, members) else None
    named = {seen.pools[number]: size for number, size in sizes.items()}
    return Decision(tuple(retire), start, named, bool(lacking))


def desired(pool: Pool, demand: Iterable[Demand], now: float) -> int:
    """How many members a pool shall have: what its busiest recent window asked for, within its bounds."""
    windows: dict[int, int] = {}
    for item in demand:
        if pool.meets(item) and (item.window + 1) * WINDOW > now - pool.idle_ttl:
            windows[item.window] = windows.get(item.window, 0) + item.claimed + item.missed
    return min(pool.max, max(pool.min, *windows.values(), 0))


def backoff(failures: int) -> float:
    """Seconds until the next member is tried after so many in a row could not start."""
    return float(min(BACKOFF_LIMIT, BACKOFF * 2 ** min(failures - 1, 10)))


def _may_try(seen: Observed, pool: Pool) -> bool:
    return seen.now >= (seen.not_before or {}).get((pool.namespace, pool.runtime), 0.0)


def _held(seen: Observed, members: Sequence[SandboxRow]) -> bool:
    """Whether now is no time to start one: it would take from what executions wait for."""
    if sum(1 for row in members if row.status == "wanted") >= max(1, seen.nodes):
        return True
    if seen.lacking_since is not None and seen.now - seen.lacking_since > PATIENCE:
        return False  # nobody's executions, started or not to be started, keep everybody's pools empty
    if any(row.uid is not None and row.status == "wanted" for row in seen.rows):
        return True
    return any(row.claimed_at is not None and seen.now - row.claimed_at < HOLD for row in seen.rows)
