"""The archive: executions of which the journal still has everything, though their objects are gone.

What ran in a namespace that was deleted is not of the one that has its name now: whoever reads says since
when it is there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Archived:
    """An execution of the archive, in short. Times are seconds since the epoch."""

    uid: str
    namespace: str
    name: str
    workflow: str
    phase: str
    reason: str
    message: str
    done: int
    total: int
    created_at: float
    finished_at: float | None
    deleted_at: float


class Archive(Protocol):
    """Which executions have no object any more."""

    async def mark(self, uids: Collection[str]) -> None:
        """Notes that the objects of these are gone; unknown ones, and those noted already, are no error."""
        ...

    async def present(self, limit: int) -> list[str]:
        """Executions that have ended and are not of the archive, those that ended first before others."""
        ...

    async def of(self, namespace: str, since: float, limit: int) -> list[Archived]:
        """The archive of a namespace that is there since then, the newest first."""
        ...

    async def find(self, namespace: str, name: str, since: float) -> Archived | None:
        """The newest execution of this name in the archive."""
        ...

    async def knows(self, namespace: str, name: str) -> bool:
        """Whether there ever was an execution of this name, of the archive or not."""
        ...
