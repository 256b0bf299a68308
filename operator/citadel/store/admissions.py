"""What a database knows of concurrency groups: a row for each execution that waits for its turn, or has it.

Rows go when executions end, so whoever counts them knows all there is. An advance writes them; here is what
it writes, and what others may ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from citadel.core.state import State
from citadel.core.tickets import Holder, Standing, Ticket


@dataclass(frozen=True)
class AdmissionChange:
    """What an advance changes of a group."""

    ticket: Ticket
    admitted_at: float | None
    ended: bool
    passes_on: bool
    """Whether it may be another one's turn now."""


def admission_change(before: State, state: State) -> AdmissionChange | None:
    """What follows for its group; None for an execution of none, and for what changes nothing there."""
    admission = state.admission
    if admission is None:
        return None
    ticket, admitted_at = admission.ticket, admission.admitted_at
    if state.finished is not None:
        if before.finished is not None or before.admission is None:
            return None
        return AdmissionChange(ticket, admitted_at, ended=True, passes_on=True)
    # Who is suspended before its turn lets others pass.
    stepped_aside = state.suspended and not before.suspended and admitted_at is None
    if admission is before.admission and not stepped_aside:
        return None
    passes_on = admitted_at is not None or stepped_aside
    return AdmissionChange(ticket, admitted_at, ended=False, passes_on=passes_on)


@dataclass(frozen=True)
class Place:
    """Where in the queue of its group an execution is, from 1."""

    name: str
    position: int
    of: int


class Admissions(Protocol):
    """The groups of all namespaces."""

    async def standing(self, ticket: Ticket) -> Standing:
        """How an execution stands now."""
        ...

    async def older(self, ticket: Ticket) -> Sequence[Holder]:
        """Those of its group that came before it, the newest first."""
        ...

    async def waiting(self, namespace: str) -> list[Place]:
        """All that wait for their turn in a namespace."""
        ...

    async def ready(self) -> list[str]:
        """The uids of those whose turn it is, and whom nobody has told: who was to do so is gone."""
        ...
