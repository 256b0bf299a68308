"""What a database knows of sandboxes and pools: rows that the controller makes pods of.

An execution gets its sandboxes inside its own advances, never here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class SandboxRow:
    """A sandbox as the database knows it. `status` is wanted, live, draining or gone.

    Without `uid` it is a member of a pool that nobody has claimed: `execution` is the name of its Runtime
    then, and `namespace` the only one that it may serve, or empty.
    """

    name: str
    uid: str | None
    namespace: str
    execution: str
    placement: str
    template: Mapping[str, Any]
    status: str
    wanted_at: float
    pod_uid: str | None = None
    key_hash: str | None = None
    """Hash of the key that its runner registers with."""
    session_hash: str | None = None
    public_key: str | None = None
    heartbeat_at: float | None = None
    immediate: bool = False
    """Whether its pod is to be deleted without a grace period."""
    isolated: bool | None = None
    """Whether its runner found that only the gateway answers. None: not told, or not even that did."""
    answered: str | None = None
    """What answered though it must not, by commas; None: there is no report yet."""
    pool: str | None = None
    """The pool that it comes from, or could have come from: the key of its template."""
    claimed_at: float | None = None
    """When an execution claimed it from its pool."""


@dataclass(frozen=True)
class Delivery:
    """Arguments by reference of an assigned attempt; `sealed` is None until the controller sealed them."""

    sandbox: str
    uid: str
    step: str
    attempt: int
    placing: int
    sealed: Mapping[str, Any] | None = None

    @property
    def attempt_key(self) -> tuple[str, int, int]:
        """The attempt that it is for: step, attempt and placing."""
        return self.step, self.attempt, self.placing


@dataclass(frozen=True)
class Demand:
    """What was asked of a pool in one window of time, by executions of one namespace."""

    pool: str
    namespace: str
    claimed: int
    """Sandboxes that the pool had ready."""
    missed: int
    """Sandboxes that had to be started, though a pool of this key could have had them."""
    window: int
    """Number of the window, as time divided by its length."""


class Sandboxes(Protocol):
    """Rows of sandboxes: what the controller reconciles with pods, and the gateway authenticates by."""

    async def open(self) -> list[SandboxRow]:
        """Rows that are not gone, oldest first."""
        ...

    async def get(self, name: str) -> SandboxRow | None:
        """The row of this name."""
        ...

    async def observe(self, name: str, **changes: Any) -> None:
        """Sets `status`, `pod_uid`, `key_hash`, `isolated`, `answered`, `template`; gone stays gone."""
        ...

    async def of(self, uid: str) -> list[SandboxRow]:
        """All rows of an execution, those that are gone too."""
        ...

    async def register(self, name: str, pod_uid: str, session_hash: str, public_key: str) -> bool:
        """Records the one registration of a sandbox, which is live from then on.

        False when no such pod of it is wanted (`pod_uid` is not the one that `observe` recorded), or it has
        registered before; the very same registration again is no news, and True.
        """
        ...

    async def heartbeat(self, names: Sequence[str]) -> None:
        """Records that these runners were heard from now."""
        ...

    async def deliveries(self) -> list[Delivery]:
        """Deliveries that wait to be sealed."""
        ...

    async def delivery(
        self, sandbox: str, sealed: Mapping[str, Any] | None = None, of: Delivery | None = None
    ) -> Delivery | None:
        """The delivery of a sandbox; with `sealed`, sets it first, if it is still for the attempt of `of`."""
        ...


class Pools(Protocol):
    """Members of warm pools: rows of sandboxes that no execution has claimed yet."""

    async def add(self, member: SandboxRow) -> None:
        """Wants a member; it is dated by the database."""
        ...

    async def retire(self, name: str) -> bool:
        """Drains a member, unless it was claimed, or ends already: then False."""
        ...

    async def demand(self, since: float, window: float) -> list[Demand]:
        """What was asked of pools in the last `since` seconds, by windows of `window` seconds."""
        ...
