"""Signals that the api took in become facts of the journal, in the order they came."""

import logging

from citadel.core import events as ev
from citadel.core.values import Values
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.signals import Signals as Rows

log = logging.getLogger(__name__)


class Signals:
    """Delivers signals."""

    def __init__(self, journal: Journal, rows: Rows) -> None:
        self._journal, self._rows = journal, rows

    async def waiting(self) -> list[str]:
        """Uids of the executions for which there are any."""
        return await self._rows.waiting()

    async def deliver(self, uid: str) -> None:
        """Delivers those of one execution. One that was delivered before changes nothing: its id is known."""
        for signal in await self._rows.of(uid):
            values = Values()
            fact = ev.SignalReceived(signal.name, signal.id, values.put(signal.payload))
            try:
                advance = await self._journal.advance(uid, [fact], outputs=values.made)
            except ExecutionUnknown:
                return
            if not advance.accepted[0] and advance.state.finished is not None:
                log.info("signal %s came after the end of execution %s", signal.id, uid)
            await self._rows.delivered(signal)
