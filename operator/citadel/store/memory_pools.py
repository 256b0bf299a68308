"""Members of warm pools in memory, the third part of `MemoryJournal`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from citadel.store.memory_sandboxes import MemorySandboxes
from citadel.store.sandboxes import Demand, SandboxRow


class MemoryPools:
    """`Pools` over the rows of `MemorySandboxes`."""

    def __init__(self, sandboxes: MemorySandboxes, clock: Callable[[], float]) -> None:
        self._sandboxes, self._clock = sandboxes, clock

    async def add(self, member: SandboxRow) -> None:
        """Wants a member."""
        self._sandboxes.put(replace(member, wanted_at=self._clock()))

    async def retire(self, name: str) -> bool:
        """Drains a member, unless it was claimed, or ends already: then False."""
        row = await self._sandboxes.get(name)
        if row is None or row.uid is not None or row.status not in ("wanted", "live"):
            return False
        self._sandboxes.put(replace(row, status="draining"))
        return True

    async def demand(self, since: float, window: float) -> list[Demand]:
        """What was asked of pools in the last `since` seconds, by windows of `window` seconds."""
        first = self._clock() - since
        wanted: Counter[tuple[str, str, int]] = Counter()
        claimed: Counter[tuple[str, str, int]] = Counter()
        for row in self._sandboxes.rows():
            if row.uid is not None and row.pool is not None and row.wanted_at > first:
                key = (row.pool, row.namespace, int(row.wanted_at // window))
                wanted[key] += 1
                claimed[key] += row.claimed_at is not None
        return [
            Demand(pool, namespace, claimed[key], wanted[key] - claimed[key], number)
            for key in wanted
            for pool, namespace, number in (key,)
        ]
