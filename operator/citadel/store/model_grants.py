"""What lets the attempt of an agent step ask models: placed by the controller while it goes on, read by the
model gateway at its door."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from citadel.store.calls import Passage

#: The name under which `sealed` holds what the grant's calls show the egress proxy.
TOKEN = "token"  # noqa: S105 - a name, no secret


@dataclass(frozen=True)
class Grant:
    """All that the model gateway has to know of the cluster to ask for one attempt."""

    uid: str
    step: str
    attempt: int
    namespace: str
    body: Mapping[str, Any]
    """`models` and `accounts` as of a call (`PlacedCall.body`), and `agent`: its spec's `limits`,
    `maxTokens` and `temperature`, as the Agent has them."""
    hosts: tuple[str, ...] = ()
    """Destinations where it may be asked."""
    sealed: Mapping[str, str] | None = field(default=None, repr=False)
    """Sealed to the model gateways: credentials by Model, as of a call, and under `token` the egress token,
    whose text alone is sealed."""
    token_hash: str | None = None
    """By what the gateway knows the egress token: its SHA-256 as hexadecimal digits."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is known by."""
        return self.uid, self.step, self.attempt


class ModelGrants(Protocol):
    """The grants of attempts that go on."""

    async def place(self, grant: Grant) -> None:
        """Leaves a grant; one that is there stays as it is. Raises ExecutionUnknown."""
        ...

    async def get(self, uid: str, step: str, attempt: int) -> Grant | None:
        """The grant of an attempt."""
        ...

    async def remove(self, uid: str, step: str, attempt: int) -> None:
        """The attempt is over: nothing is reserved for it any more, and what still is counts in full."""
        ...

    async def keys(self) -> list[tuple[str, str, int]]:
        """What there is, so that what a dead controller left behind is found."""
        ...

    async def passage(self, token_hash: str) -> Passage | None:
        """What the egress token of this hash stands for now."""
        ...
