"""Notices inside one process: what stands in for NOTIFY where there is no Postgres."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable

from citadel.store.journal import TOPICS, Notice


class Hub:
    """Hands every notice to everyone who listens now. A listener that falls far behind loses notices."""

    def __init__(self, backlog: int = 10_000) -> None:
        self._backlog = backlog
        self._listeners: dict[asyncio.Queue[Notice], Collection[str]] = {}

    def publish(self, notices: Iterable[Notice]) -> None:
        """Hands out notices of what has been committed."""
        for notice in notices:
            for queue, topics in self._listeners.items():
                if notice.topic in topics and not queue.full():
                    queue.put_nowait(notice)

    async def listen(self, topics: Collection[str] = TOPICS) -> AsyncIterator[Notice]:
        """Notices of `topics` from the first `anext` on, until cancelled."""
        queue: asyncio.Queue[Notice] = asyncio.Queue(self._backlog)
        self._listeners[queue] = topics
        try:
            while True:
                yield await queue.get()
        finally:
            del self._listeners[queue]
