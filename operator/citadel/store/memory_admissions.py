"""Concurrency groups in memory: found in the states of all executions whenever they are asked for."""

from collections.abc import Iterable

from citadel.core.state import Admission, State
from citadel.core.tickets import Holder, Standing, Ticket


def standing_of(ticket: Ticket, states: Iterable[State]) -> Standing:
    """How a ticket stands among these executions."""
    holders = []
    ahead = behind = 0
    for state in states:
        admission = _of_group(ticket, state)
        if admission is None or state.created is None:
            continue
        if admission.admitted_at is not None:
            holders.append((admission.admitted_at, Holder(state.created.uid, state.created.name)))
        elif not state.suspended:
            earlier = admission.ticket.order < ticket.order
            ahead, behind = ahead + earlier, behind + (not earlier)
    return Standing(tuple(holder for _, holder in sorted(holders, key=lambda item: item[0])), ahead, behind)


def next_of(ticket: Ticket, states: Iterable[State]) -> str | None:
    """The uid of the one that has waited longest beside the one of this ticket."""
    waiting = [
        admission.ticket
        for state in states
        if (admission := _of_group(ticket, state)) is not None
        and admission.admitted_at is None
        and not state.suspended
    ]
    return min(waiting, key=lambda found: found.order).uid if waiting else None


def _of_group(ticket: Ticket, state: State) -> Admission | None:
    """The admission of another one of the same group that has not ended."""
    found = state.admission
    if found is None or state.finished is not None or found.ticket.uid == ticket.uid:
        return None
    same = (found.ticket.among, found.ticket.group) == (ticket.among, ticket.group)
    return found if same else None
