"""A queue of keys to reconcile, after client-go's workqueue: level-triggered, never two workers on one key.

Added while it waits, a key is worked on once; added while it is worked on, once more afterwards. Must never
let one key, however often it fails or how long it hangs, hold up the others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from citadel.kube.errors import ApiError

K = TypeVar("K", bound=Hashable)

Handler = Callable[[K], Awaitable[float | None]]
"""Works on a key; returns in how many seconds to come back to it, or None. To fail is to raise."""

log = logging.getLogger(__name__)


class Cancellable(Protocol):
    """What a timer gives for a call it will make."""

    def cancel(self) -> None:
        """Do not make it."""


class Timer(Protocol):
    """The clock of an event loop (which is one): monotonic seconds, and calls made later."""

    def time(self) -> float:
        """Now."""

    def call_later(self, delay: float, callback: Callable[[K], object], key: K) -> Cancellable:
        """Call `callback(key)` in `delay` seconds."""


class QueueMetrics(Protocol):
    """Where the queue counts; `Metrics` is one."""

    def queue_depth(self, queue: str, depth: int) -> None:
        """How many keys are ready."""

    def queue_done(self, queue: str, waited: float, worked: float, failed: bool) -> None:
        """One handler run; times in seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a queue works. Times in seconds.

    `first` and `longest` bound the exponential backoff of a failing key. When it is added again meanwhile it
    waits no longer than `hurry`: an edit may cure it, but its own status writes must not make it spin. `hang`
    ends a handler run.
    """

    workers: int = 32
    first: float = 0.1
    longest: float = 60.0
    hurry: float = 1.0
    hang: float = 60.0

    def backoff(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row."""
        return min(self.longest, self.first * float(2 ** min(failures - 1, 30)))


class WorkQueue(Generic[K]):
    """Keys, and the handler that works on them; make it in the event loop that runs it."""

    def __init__(
        self,
        name: str,
        handler: Handler[K],
        *,
        pace: Pace | None = None,
        metrics: QueueMetrics | None = None,
        timer: Timer | None = None,
    ) -> None:
        self.name = name
        self._handler = handler
        self._pace = pace or Pace()
        self._metrics = metrics
        self._timer: Timer = timer or asyncio.get_running_loop()
        self._ready: deque[K] = deque()
        self._since: dict[K, float] = {}  # the wanted keys, ready or in work, and since when
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._later: dict[K, tuple[float, Cancellable]] = {}
        self._failures: dict[K, int] = {}
        self._retry_at: dict[K, float] = {}
        self._running = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def depth(self) -> int:
        """How many keys are ready and wait for a worker."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Ask for work on a key, now; a failing one waits for its backoff, at most `hurry` seconds more."""
        retry_at = self._retry_at.get(key)
        if retry_at is not None and key not in self._tasks:
            left = retry_at - self._timer.time()
            if left > 0:
                self.add_after(key, min(left, self._pace.hurry))
                return
        if key in self._since:
            return
        self._since[key] = self._timer.time()
        if key not in self._tasks:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for work on a key in some seconds; of several such wishes the earliest counts."""
        if seconds <= 0:
            self._due(key)
            return
        at = self._timer.time() + seconds
        known = self._later.get(key)
        if known is not None:
            if known[0] <= at:
                return
            known[1].cancel()
        self._later[key] = at, self._timer.call_later(seconds, self._due, key)

    def forget(self, key: K) -> None:
        """Drop the later calls and the backoff of a key that is gone. What is ready or in work goes on."""
        known = self._later.pop(key, None)
        if known is not None:
            known[1].cancel()
        self._failures.pop(key, None)
        self._retry_at.pop(key, None)

    def start(self) -> None:
        """Begin to work; keys may have been added before."""
        self._running = True
        self._pump()

    async def drained(self) -> None:
        """Wait until nothing is ready or in work; later calls may still be due."""
        await self._idle.wait()

    async def stop(self, grace: float = 10.0) -> None:
        """Start nothing more, wait `grace` seconds for the work in progress, then cancel it."""
        self._running = False
        for _, call in self._later.values():
            call.cancel()
        self._later.clear()
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _due(self, key: K) -> None:
        known = self._later.pop(key, None)
        if known is not None:
            known[1].cancel()
        self._retry_at.pop(key, None)
        self.add(key)

    def _enqueue(self, key: K) -> None:
        self._ready.append(key)
        self._idle.clear()
        self._pump()

    def _pump(self) -> None:
        while self._running and self._ready and len(self._tasks) < self._pace.workers:
            key = self._ready.popleft()
            waited = self._timer.time() - self._since.pop(key)
            self._tasks[key] = asyncio.create_task(self._work(key, waited), name=f"{self.name} {key}")
        if self._metrics is not None:
            self._metrics.queue_depth(self.name, len(self._ready))
        if not self._ready and not self._tasks:
            self._idle.set()

    async def _work(self, key: K, waited: float) -> None:
        started = self._timer.time()
        failed = True
        again: float | None = None
        try:
            async with asyncio.timeout(self._pace.hang) as limit:
                again = await self._handler(key)
            failed = False
        except Exception as error:
            self._log_failure(key, error, hung=limit.expired())
        finally:
            del self._tasks[key]
            self._settle(key, failed, again)
            if self._metrics is not None:
                self._metrics.queue_done(self.name, waited, self._timer.time() - started, failed)
            self._pump()

    def _settle(self, key: K, failed: bool, again: float | None) -> None:
        wanted = self._since.pop(key, None) is not None
        if not self._running:
            return
        if failed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            wait = self._pace.backoff(failures)
            self._retry_at[key] = self._timer.time() + wait
            self.add_after(key, min(wait, self._pace.hurry) if wanted else wait)
            return
        self._failures.pop(key, None)
        self._retry_at.pop(key, None)
        if wanted:
            self.add(key)
        if again is not None:
            self.add_after(key, again)

    def _log_failure(self, key: K, error: Exception, *, hung: bool) -> None:
        failures = self._failures.get(key, 0) + 1
        if hung:
            log.warning(
                "%s: %s: no end within %.0f s (failure %d)", self.name, key, self._pace.hang, failures
            )
        elif isinstance(error, ApiError):
            log.warning("%s: %s: %s (failure %d)", self.name, key, error, failures)
        else:
            # The traceback once: a poison key comes back every minute.
            log.error(
                "%s: %s: failure %d", self.name, key, failures, exc_info=error if failures == 1 else None
            )
