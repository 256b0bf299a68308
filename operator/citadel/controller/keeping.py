"""Keeps warm pools at what `decide_pools` says: observe (Runtimes, rows, demand), decide, act.

Never creates a pod: a member is wanted by a row, as every sandbox is.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import seconds
from citadel.api.reasons import Reason
from citadel.api.runtime import Pool as PoolSpec
from citadel.controller.board import Board, Report
from citadel.controller.checking import Unusable, read_runtime
from citadel.controller.definitions import Definitions
from citadel.controller.metrics import PoolMetrics
from citadel.controller.pods import Diagnosis
from citadel.controller.pools import WINDOW, Decision, Observed, Pool, backoff, decide_pools
from citadel.core.placing import template_key
from citadel.kube.cache import Cache
from citadel.kube.resources import RUNTIMES, Object
from citadel.store.sandboxes import Demand, Pools, Sandboxes, SandboxRow

log = logging.getLogger(__name__)

#: Seconds between two rounds: at least, and at most while there is a pool, and without any.
QUICK, SLOW, IDLE = 0.1, 1.0, 10.0
NODES_SECONDS = 60.0


@dataclass
class _Trouble:
    """Members of one Runtime that could not start, in a row."""

    failures: int
    not_before: float
    message: str


class Keeper:
    """Keeps the pools. `report` asks for the status of a Runtime; `nodes` says how many there are."""

    def __init__(
        self,
        cache: Cache,
        definitions: Definitions,
        sandboxes: Sandboxes,
        pools: Pools,
        board: Board,
        metrics: PoolMetrics,
        report: Callable[[str, str], None],
        nodes: Callable[[], Awaitable[int]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._definitions = cache, definitions
        self._sandboxes, self._pools = sandboxes, pools
        self._board, self._metrics, self._report = board, metrics, report
        self._count_nodes, self._now = nodes, now
        self._nodes, self._nodes_at = 1, float("-inf")
        self._demand: list[Demand] = []
        self._demand_at = float("-inf")
        self._lacking_since: float | None = None
        self._troubles: dict[tuple[str, str], _Trouble] = {}
        self._poked = asyncio.Event()
        self._keeps = True

    def poke(self) -> None:
        """Something happened to a Runtime, or to a member."""
        self._poked.set()

    def stir(self) -> None:
        """Something happened to a sandbox: where no pool is kept, that is no reason to read them all."""
        if self._keeps:
            self.poke()

    def failed(self, row: SandboxRow, diagnosis: Diagnosis) -> None:
        """A member ended, or found no room, before it could be claimed."""
        key = (self._definitions.home(row.namespace), row.execution)
        failures = self._troubles[key].failures + 1 if key in self._troubles else 1
        reason = diagnosis.ended or diagnosis.waiting
        message = f"a warm sandbox could not start: {reason}: {diagnosis.message}"[:1024]
        self._troubles[key] = _Trouble(failures, self._now() + backoff(failures), message)
        self.poke()

    async def keep(self) -> None:
        """One round."""
        pools = await self._wanted()
        decision = await self._decide(pools)
        for name in decision.retire:
            await self._pools.retire(name)
        if decision.start is not None:
            await self._pools.add(_member(decision.start))
        self._publish(decision)
        members = any(size.ready + size.starting for size in decision.sizes.values())
        self._keeps = bool(pools or members)
        await asyncio.sleep(QUICK)
        with suppress(TimeoutError):
            async with asyncio.timeout(SLOW if self._keeps else IDLE):
                await self._poked.wait()
        self._poked.clear()

    async def _decide(self, pools: list[Pool]) -> Decision:
        now = self._now()
        if pools and now - self._demand_at >= SLOW:
            longest = max(pool.idle_ttl for pool in pools)
            self._demand = await self._pools.demand(longest + WINDOW, WINDOW)
            self._demand_at = now
            self._metrics.asked(pools, self._demand)
        if pools and now - self._nodes_at >= NODES_SECONDS:
            self._nodes, self._nodes_at = await self._count_nodes(), now
        rows = await self._sandboxes.open()
        for row in rows:
            if row.uid is None and row.status == "live":
                self._troubles.pop((self._definitions.home(row.namespace), row.execution), None)
        decision = decide_pools(
            Observed(
                pools,
                rows,
                self._demand,
                self._nodes,
                now,
                self._lacking_since,
                {key: trouble.not_before for key, trouble in self._troubles.items()},
            )
        )
        if not decision.lacking or decision.start is not None:
            self._lacking_since = None
        elif self._lacking_since is None:
            self._lacking_since = now
        return decision

    async def _wanted(self) -> list[Pool]:
        """The pools of all Runtimes that may have one."""
        found = []
        for runtime in self._cache.objects(RUNTIMES):
            with suppress(Unusable):
                spec = read_runtime(runtime)
                if spec.pool is not None:
                    template = await self._definitions.warm_template(runtime)
                    found.append(self._pool(runtime, spec.pool, template))
        return found

    def _pool(self, runtime: Object, pool: PoolSpec, template: dict[str, Any]) -> Pool:
        metadata = runtime["metadata"]
        return Pool(
            namespace=metadata["namespace"],
            runtime=metadata["name"],
            scope="" if self._definitions.is_shared(runtime) else metadata["namespace"],
            key=template_key(template),
            template=template | self._definitions.warm_extras(runtime),
            min=pool.min,
            max=pool.max,
            idle_ttl=seconds(pool.idle_ttl),
        )

    def _publish(self, decision: Decision) -> None:
        """Sizes for Prometheus at once, for the status of Runtimes now and then, what is wrong at once."""
        self._metrics.sizes(decision.sizes)
        fresh: dict[tuple[str, str], Report] = {}
        for pool, size in decision.sizes.items():
            trouble = self._troubles.get((pool.namespace, pool.runtime))
            problem = Unusable(Reason.POOL_DEGRADED, trouble.message, waits=True) if trouble else None
            fresh[pool.namespace, pool.runtime] = Report(size, problem)
        for key in self._board.post(fresh, self._now()):
            self._report(*key)


def _member(pool: Pool) -> SandboxRow:
    """A member that is wanted; its name tells nothing."""
    return SandboxRow(
        name=f"cp-{secrets.token_hex(8)}",
        uid=None,
        namespace=pool.scope,
        execution=pool.runtime,
        placement=pool.key,
        template=pool.template,
        status="wanted",
        wanted_at=0.0,
        pool=pool.key,
    )
