"""What goes on though nobody owns it any more: executions without an object, runners that fell silent."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from citadel.controller.sandboxes import SandboxPods
from citadel.controller.watching import Key
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.resources import EXECUTIONS
from citadel.store.journal import CorruptJournal, Journal
from citadel.store.sandboxes import SandboxRow

log = logging.getLogger(__name__)

#: Seconds of silence of a registered runner after which its sandbox counts as lost.
SILENCE_SECONDS = 120.0
#: Seconds without any heartbeat after which a gateway has to be ready for silence to count.
QUIET_SECONDS = 30.0


class Strays:
    """Finds them, at each sweep."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        pods: SandboxPods,
        gateway_ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self._kube, self._cache, self._journal, self._pods = kube, cache, journal, pods
        self._gateway_ready = gateway_ready
        self._serving_since: float | None = None

    async def orphans(self) -> list[Key]:
        """Executions that run in the journal, though their object is gone."""
        known = {obj["metadata"]["uid"] for obj in self._cache.objects(EXECUTIONS)}
        orphans = []
        for execution in await self._journal.unfinished():
            if execution.uid in known:
                continue
            try:
                found = await self._kube.list(
                    EXECUTIONS, execution.namespace, field_selector=f"metadata.name={execution.name}"
                )
            except Exception:
                log.exception("looking for execution %s/%s failed", execution.namespace, execution.name)
                continue
            if not any(item["metadata"]["uid"] == execution.uid for item in found.items):
                orphans.append(Key("gone", execution.namespace, execution.name, execution.uid))
        return orphans

    async def end_silent(self, rows: Sequence[SandboxRow]) -> None:
        """Sandboxes whose runner has said nothing for long; silence counts only while somebody listened."""
        now = time.time()
        heard = max((row.heartbeat_at for row in rows if row.heartbeat_at is not None), default=0.0)
        if now - heard > QUIET_SECONDS and not await self._gateway_ready():
            self._serving_since = None
            return
        self._serving_since = self._serving_since or now
        for row in rows:
            last = max(row.heartbeat_at or now, self._serving_since)
            if row.status == "live" and now - last > SILENCE_SECONDS:
                try:
                    await self._pods.lost(row, f"its runner has been silent for {now - last:.0f} s")
                except CorruptJournal:
                    log.exception("sandbox %s cannot be given up", row.name)  # the others can
