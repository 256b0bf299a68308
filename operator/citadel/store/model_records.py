"""What models answered to agents: so an attempt that goes on elsewhere is answered again, at no cost."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class ModelRecord:
    """One answer, and what it took."""

    uid: str
    step: str
    attempt: int
    digest: str
    """Of the request, apart from how the answer was to be sent."""
    model: str
    """`namespace/name` of the Model that gave it."""
    answer: Any = field(repr=False)
    """The message of the answer, and why it ended: as the door tells it."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    request: Any = field(default=None, repr=False)
    """What was asked, where the namespace's policies have it recorded."""
    n: int = 0
    """Which answer of its attempt it is, from 1; given by the ledger."""
    at: float = 0.0
    """When it was recorded, on the database's clock."""


class ModelRecords(Protocol):
    """The answers. The ledger writes them, with what they cost, in one transaction."""

    async def find(self, uid: str, step: str, attempt: int, digest: str) -> ModelRecord | None:
        """The answer that an attempt was given to this request."""
        ...

    async def of(self, uid: str) -> list[ModelRecord]:
        """All answers that an execution was given: by step, attempt and number."""
        ...
