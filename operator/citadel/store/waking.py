"""Waking requests that are held until something happens."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

from citadel.store.journal import Notice


def steps_of(uid: str) -> tuple[str, str]:
    """The topics of whatever happens to an execution and its steps."""
    return f"execution {uid}", f"progress {uid}"


class Waker:
    """Wakes whoever waits on a topic. A wake-up may be missed, so every wait is bounded."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def expect(self, *topics: str) -> "Expectation":
        """Begins to listen; look at the journal after this, then wait."""
        return Expectation(self._waiting, topics)

    def wake(self, topic: str) -> None:
        """Wakes everyone who waits on this topic."""
        for future in self._waiting.pop(topic, ()):
            if not future.done():
                future.set_result(None)

    async def follow(self, listen: Callable[[], AsyncIterator[Notice]]) -> None:
        """Wakes by the journal's notices, for ever."""
        async for notice in listen():
            self.wake(f"{notice.topic} {notice.id}")


class Expectation:
    """One wait that began before its holder looked, so that nothing between look and wait is missed."""

    def __init__(self, waiting: dict[str, set[asyncio.Future[None]]], topics: tuple[str, ...]) -> None:
        self._waiting, self._topics = waiting, topics
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for topic in topics:
            waiting[topic].add(self._future)

    async def met(self, seconds: float) -> bool:
        """Waits until a topic was woken; False when `seconds` passed first."""
        try:
            await asyncio.wait((self._future,), timeout=seconds)
            return self._future.done()
        finally:
            self.close()

    def close(self) -> None:
        """Stops listening."""
        for topic in self._topics:
            found = self._waiting.get(topic)
            if found is not None:
                found.discard(self._future)
                if not found:
                    del self._waiting[topic]
