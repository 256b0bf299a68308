"""The clock of executions on this machine, and how they wait: for news, or for a time.

`Clock` is the machine's own. `LeapingClock` is that of tests: as soon as nobody does anything it leaps to the
next time that anything waits for, so that neither a pause before another attempt nor a month for a payment
takes any time, while what really runs takes its own.
"""

import asyncio
import time


class Stuck(Exception):
    """Everybody waits for somebody else: a leap leads nowhere."""


class Bell:
    """Wakes everyone who waits for it."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[bool]] = set()

    def ring(self) -> None:
        """Wakes everyone who waits now."""
        for ring in self._waiting:
            if not ring.done():
                ring.set_result(True)

    def listen(self) -> "asyncio.Future[bool]":
        """Is done with the next ring."""
        ring: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.add(ring)
        ring.add_done_callback(self._waiting.discard)
        return ring


class Clock:
    """The time of this machine."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def begin(self) -> None:
        """Somebody begins to do something, who may wait by this clock."""

    def end(self) -> None:
        """One of these has ended."""

    async def wait(self, bell: Bell, until: float | None = None) -> bool:
        """Waits for the bell, or until a time; whether the bell rang."""
        ring = bell.listen()
        timer = None if until is None else _alarm(ring, until - self.time())
        try:
            return await ring
        finally:
            if timer is not None:
                timer.cancel()


def _alarm(ring: "asyncio.Future[bool]", seconds: float) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(max(0.0, seconds), _time_is_up, ring)


def _time_is_up(ring: "asyncio.Future[bool]") -> None:
    if not ring.done():
        ring.set_result(False)


class LeapingClock(Clock):
    """A clock that leaps while everybody who has begun something waits.

    Whoever awaits anything else than this clock is busy, and for that long time passes as it does.
    """

    def __init__(self, now: float | None = None) -> None:
        self._ahead = 0.0 if now is None else now - time.time()
        self._busy = 0
        self._waiting: dict[asyncio.Future[bool], tuple[float | None, asyncio.TimerHandle | None]] = {}

    def time(self) -> float:
        """Seconds since the epoch, as far as those know who have this clock."""
        return time.time() + self._ahead

    def begin(self) -> None:
        """Somebody begins to do something: until that one waits, nothing leaps."""
        self._busy += 1

    def end(self) -> None:
        """One of these has ended."""
        self._busy -= 1
        self._leap()

    async def wait(self, bell: Bell, until: float | None = None) -> bool:
        """Waits for the bell, or until a time, to which the clock may leap; whether the bell rang.

        Raises Stuck where neither can ever be.
        """
        ring = bell.listen()
        timer = None if until is None else _alarm(ring, until - self.time())
        self._waiting[ring] = until, timer
        try:
            self._leap()
            return await ring
        finally:
            _, timer = self._waiting.pop(ring)
            if timer is not None:
                timer.cancel()

    def _leap(self) -> None:
        """Goes to the next time that anybody waits for, if nobody does anything else."""
        if len(self._waiting) < self._busy or any(ring.done() for ring in self._waiting):
            return
        times = [until for until, _ in self._waiting.values() if until is not None]
        if not times:
            for ring in self._waiting:
                ring.set_exception(Stuck("everything waits, and nothing is left that could come"))
            return
        self._ahead += max(0.0, min(times) - self.time())
        for ring, (until, timer) in self._waiting.items():
            if until is None or timer is None:
                continue
            timer.cancel()
            if until <= self.time():
                ring.set_result(False)
            else:
                self._waiting[ring] = until, _alarm(ring, until - self.time())
