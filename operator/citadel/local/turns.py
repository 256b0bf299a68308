"""Concurrency groups among the executions of one run on this machine: who ends, lets the next one ask."""

from dataclasses import replace
from typing import Protocol

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.admission import cancels, ticket_of
from citadel.core.state import State
from citadel.core.tickets import Holder, Ticket, superseded, took_place


class Neighbour(Protocol):
    """An execution of the same run."""

    @property
    def state(self) -> State:
        """Where it stands."""
        ...

    async def ask(self) -> None:
        """Looks whether it is its turn."""
        ...

    async def stop(self, mode: str, reason: str, message: str) -> None:
        """Asks for its end."""
        ...


class Neighbours:
    """The executions of one run, as one of them sees them."""

    def __init__(self, runs: dict[str, Neighbour] | None = None, around: tuple[str, ...] = ()) -> None:
        """`around` are the uids of those it is within, outermost first."""
        self._runs: dict[str, Neighbour] = {} if runs is None else runs
        self._around = around

    def within(self, uid: str) -> "Neighbours":
        """The same as seen by those within the execution `uid`, which sees this."""
        return Neighbours(self._runs, (*self._around, uid))

    def placed(self, created: ev.Created) -> ev.Created:
        """How an execution begins here: what other runs left in a journal is none of its group."""
        outermost = (*self._around, created.uid)[0]
        return replace(created, around=self._around, among=f"{created.namespace}/{outermost}")

    async def entered(self, uid: str, run: Neighbour) -> None:
        """An execution has begun, or waits for its turn; those whose place it takes are cancelled."""
        self._runs[uid] = run
        created, ticket = run.state.created, ticket_of(run.state)
        if created is None or ticket is None or not cancels(run.state):
            return
        older = sorted(
            ((found.order, other) for other in self._runs.values() if (found := _same(ticket, other))),
            key=lambda item: item[0],
            reverse=True,
        )
        names = [other.state.created for order, other in older if order < ticket.order]
        holders = [Holder(name.uid, name.name) for name in names if name is not None]
        for holder in superseded(holders, ticket.limit, self._around):
            message = took_place(created.name, ticket)
            await self._runs[holder.uid].stop("Cancel", Reason.CONCURRENCY_LIMIT, message)

    async def left(self, uid: str) -> None:
        """An execution has ended: the next one may begin."""
        del self._runs[uid]
        await self._ask()

    async def _ask(self) -> None:
        """Those that wait look for themselves, in their order; who must wait on stands for all behind it."""
        waiting = [(ticket, run) for run in self._runs.values() if (ticket := ticket_of(run.state))]
        closed: set[str] = set()
        for ticket, run in sorted(waiting, key=lambda item: item[0].order):
            if ticket.group not in closed:
                await run.ask()
            if ticket_of(run.state) is not None:
                closed.add(ticket.group)


def _same(ticket: Ticket, run: Neighbour) -> Ticket | None:
    """The ticket of another one of the group that has not ended."""
    admission = run.state.admission
    if admission is None or run.state.finished is not None:
        return None
    found = admission.ticket
    return found if found.group == ticket.group and found.uid != ticket.uid else None
