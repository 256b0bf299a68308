"""Concurrency groups: who came when, whose place one takes that cancels, and whom nobody has told.

Whose turn it is the journal decides, in the advance that asks; here only what concerns several executions.
"""

import logging

from citadel.api.reasons import Reason
from citadel.api.workflow import WorkflowSpec
from citadel.controller.children import Children
from citadel.controller.objects import parse_time
from citadel.core import events as ev
from citadel.core.admission import cancels, ticket_of
from citadel.core.state import State
from citadel.core.tickets import superseded, took_place
from citadel.kube.resources import Object
from citadel.store.admissions import Admissions
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Journal

log = logging.getLogger(__name__)


class Turns:
    """Keeps the concurrency groups going."""

    def __init__(self, journal: Journal, admissions: Admissions, children: Children) -> None:
        self._journal, self._admissions, self._children = journal, admissions, children

    async def asked(self, obj: Object, spec: WorkflowSpec) -> tuple[float | None, tuple[str, ...]]:
        """When an Execution was asked for, and the uids of those around it, if its turn depends on that."""
        if spec.concurrency is None:
            return None, ()
        around = await self._children.around(obj)
        return parse_time(obj["metadata"]["creationTimestamp"]), tuple(around)

    async def make_room(self, state: State) -> None:
        """Cancels those whose place an execution takes, as long as it waits for that."""
        created, ticket = state.created, ticket_of(state)
        if created is None or ticket is None or not cancels(state):
            return
        older = await self._admissions.older(ticket)
        stop = ev.StopRequested("Cancel", Reason.CONCURRENCY_LIMIT, took_place(created.name, ticket))
        for other in superseded(older, ticket.limit, created.around):
            await self._advance(other.uid, stop)

    async def wake(self) -> None:
        """Advances those whose turn it is though nobody has told them."""
        for uid in await self._admissions.ready():
            await self._advance(uid)

    async def _advance(self, uid: str, *facts: ev.Event) -> None:
        """What is wrong with one must not keep others from theirs."""
        try:
            await self._journal.advance(uid, facts)
        except ExecutionUnknown:
            return  # deleted just now
        except CorruptJournal as error:
            log.warning("its concurrency group waits for %s", error)
