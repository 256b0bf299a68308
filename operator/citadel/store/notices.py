"""Notices inside one process: what stands in for NOTIFY where there is no Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from citadel.store.journal import Notice


class Hub:
    """Hands every notice to everyone who listens now. A listener that falls far behind loses notices."""

    def __init__(self, backlog: int = 10_000) -> None:
        self._backlog = backlog
        self._listeners: set[asyncio.Queue[Notice]] = set()

    def publish(self, notices: Iterable[Notice]) -> None:
        """Hands out notices of what has been committed."""
        for notice in notices:
            for queue in self._listeners:
                if not queue.full():
                    queue.put_nowait(notice)

    async def listen(self) -> AsyncIterator[Notice]:
        """Notices from the first `anext` on, until cancelled."""
        queue: asyncio.Queue[Notice] = asyncio.Queue(self._backlog)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
