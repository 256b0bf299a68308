"""Waking requests that are held until something happens."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from citadel.store.journal import Notice


def steps_of(uid: str) -> tuple[str, str]:
    """The topics of whatever happens to an execution and its steps."""
    return f"execution {uid}", f"progress {uid}"


class Waker:
    """Wakes whoever waits on a topic. A wake-up may be missed, so every wait is bounded."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Expectation]] = defaultdict(set)

    def expect(self, *topics: str) -> "Expectation":
        """Begins to listen; look at the journal after this, then wait."""
        return Expectation(self._waiting, topics)

    def take(self, notice: Notice) -> None:
        """Wakes everyone who waits on a notice's topic, and does not know yet what it tells of."""
        for expected in tuple(self._waiting.get(f"{notice.topic} {notice.id}", ())):
            expected.take(notice)

    async def follow(self, notices: AsyncIterator[Notice]) -> None:
        """Wakes by the journal's notices, for ever."""
        async for notice in notices:
            self.take(notice)


class Expectation:
    """One wait that began before its holder looked, so that nothing between look and wait is missed."""

    def __init__(self, waiting: "dict[str, set[Expectation]]", topics: tuple[str, ...]) -> None:
        self._waiting, self._topics = waiting, topics
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.known = 0
        """The number of the last event that its holder knows: often it was itself who wrote it."""
        for topic in topics:
            waiting[topic].add(self)

    def take(self, notice: Notice) -> None:
        """Ends the wait, if it tells of something that is not known."""
        if not (0 < notice.seq <= self.known or self._future.done()):
            self._future.set_result(None)

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
                found.discard(self)
                if not found:
                    del self._waiting[topic]
