"""Revisions of a Workflow: the definitions by which its executions ran, as the journal keeps them.

A revision is there as long as an execution of it is. It is named by the digest of the definition, or by the
first characters of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: Revisions of one Workflow that are told, the newest.
MOST = 200
#: Characters of a digest by which people are told a revision.
SHORT = 12


@dataclass(frozen=True)
class Revision:
    """One definition, and when it ran. Times are seconds since the epoch on the database's clock."""

    digest: str
    first_at: float
    last_at: float
    executions: int


class NoRevision(LookupError):
    """There is no such revision, or more than one; the message says which there are."""


class Revisions(Protocol):
    """What the journal knows of a Workflow's past."""

    async def of(self, namespace: str, workflow: str) -> list[Revision]:
        """The revisions that executions of this Workflow ran by, the one that ran last first."""
        ...

    async def document(self, namespace: str, workflow: str, revision: str) -> tuple[str, Mapping[str, Any]]:
        """Digest and definition of the revision that begins so; raises NoRevision."""
        ...


def chosen(workflow: str, given: str, known: list[Revision]) -> str:
    """The digest of the revision that is meant; raises NoRevision."""
    start = given.removeprefix("sha256:")[:64]
    meant = [item.digest for item in known if item.digest.removeprefix("sha256:").startswith(start)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        told = f"{len(meant)} revisions begin with {start}, as {short(meant[0])} and {short(meant[1])}"
        raise NoRevision(f"Workflow {workflow}: {told}; give more of it")
    newest = f"; the last that ran is {short(known[0].digest)}" if known else ""
    raise NoRevision(f"Workflow {workflow}: found no execution that ran by revision {start}{newest}")


def short(digest: str) -> str:
    """A digest as people are told it."""
    return digest.removeprefix("sha256:")[:SHORT]
