"""Rows of sandboxes in memory, the other half of `MemoryJournal`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from citadel.core.members import Wish
from citadel.store.journal import Notice
from citadel.store.notices import Hub
from citadel.store.rows import Changes, check_observation
from citadel.store.sandboxes import Delivery, SandboxRow
from citadel.store.stepping import FRESH_SECONDS


class MemorySandboxes:
    """`Sandboxes` over dictionaries."""

    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._clock = clock
        self._rows: dict[str, SandboxRow] = {}
        self._deliveries: dict[str, Delivery] = {}

    def follow(self, follows: Changes) -> None:
        """Takes over what an advance came to."""
        for row in follows.wanted:
            self._rows.setdefault(row.name, row)
        for name, placement in follows.claimed.items():
            self._rows[name] = replace(
                self._rows[name],
                uid=follows.execution.uid,
                namespace=follows.execution.namespace,
                execution=follows.execution.name,
                placement=placement,
                wanted_at=self._clock(),
                claimed_at=self._clock(),
            )
        for name, at_once in follows.draining.items():
            row = self._rows[name]
            if row.status != "gone":
                self._rows[name] = replace(row, status="draining", immediate=row.immediate or at_once)
        for name in follows.delivered:
            self._deliveries.pop(name, None)
        for delivery in follows.deliveries:
            self._deliveries[delivery.sandbox] = delivery

    def member(self, wish: Wish) -> str | None:
        """The member of a pool that has waited longest; it is claimed by what follows from that."""
        found = [
            row
            for row in self._rows.values()
            if row.uid is None
            and row.pool == wish.pool
            and row.namespace in ("", wish.namespace)
            and row.status == "live"
            and row.answered is not None
            and (row.heartbeat_at or 0.0) > self._clock() - FRESH_SECONDS
        ]
        return min(found, key=lambda row: (row.wanted_at, row.name)).name if found else None

    def forget(self, uid: str) -> None:
        """Deletes the rows of an execution."""
        gone = [name for name, row in self._rows.items() if row.uid == uid]
        for name in gone:
            del self._rows[name]
            self._deliveries.pop(name, None)

    def rows(self) -> list[SandboxRow]:
        """All rows there are."""
        return list(self._rows.values())

    def put(self, row: SandboxRow) -> None:
        """Sets a row, and says so."""
        self._rows[row.name] = row
        self._hub.publish([Notice("sandbox", row.name)])

    def _set(self, name: str, **changes: Any) -> None:
        changed = replace(self._rows[name], **changes)
        if changed != self._rows[name]:
            self.put(changed)

    async def open(self) -> list[SandboxRow]:
        """Rows that are not gone, oldest first."""
        rows = (row for row in self._rows.values() if row.status != "gone")
        return sorted(rows, key=lambda row: (row.wanted_at, row.name))

    async def of(self, uid: str) -> list[SandboxRow]:
        """All rows of an execution, those that are gone too."""
        return [row for row in self._rows.values() if row.uid == uid]

    async def get(self, name: str) -> SandboxRow | None:
        """The row of this name."""
        return self._rows.get(name)

    async def observe(self, name: str, **changes: Any) -> None:
        """Sets fields of a row, see `Sandboxes.observe`; it never goes back from gone or draining."""
        check_observation(changes)
        row = self._rows.get(name)
        back = changes.get("status") in ("wanted", "live")
        if row is None or row.status == "gone" or (back and row.status == "draining"):
            return
        self._set(name, **changes)

    async def register(self, name: str, pod_uid: str, session_hash: str, public_key: str) -> bool:
        """Records the one registration of a sandbox; see `Sandboxes.register`."""
        row = self._rows.get(name)
        if row is None or row.pod_uid != pod_uid or row.status not in ("wanted", "live"):
            return False
        if row.session_hash is not None and (row.session_hash, row.public_key) != (session_hash, public_key):
            return False
        self._set(
            name,
            session_hash=session_hash,
            public_key=public_key,
            status="live",
            heartbeat_at=self._clock(),
        )
        return True

    async def heartbeat(self, names: Sequence[str]) -> None:
        """Records that these runners were heard from now."""
        for name in names:
            row = self._rows.get(name)
            if row is not None:
                self._rows[name] = replace(row, heartbeat_at=self._clock())

    async def deliveries(self) -> list[Delivery]:
        """Deliveries that wait to be sealed."""
        return [delivery for delivery in self._deliveries.values() if delivery.sealed is None]

    async def delivery(
        self, sandbox: str, sealed: Mapping[str, Any] | None = None, of: Delivery | None = None
    ) -> Delivery | None:
        """The delivery of a sandbox; see `Sandboxes.delivery`."""
        found = self._deliveries.get(sandbox)
        same = found is not None and (of is None or found.attempt_key == of.attempt_key)
        if found is not None and sealed is not None and same:
            found = self._deliveries[sandbox] = replace(found, sealed=dict(sealed))
            self._hub.publish([Notice("sealed", sandbox)])
        return found
