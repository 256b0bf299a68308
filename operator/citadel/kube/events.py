"""Kubernetes events: what `kubectl describe` and `kubectl get events` tell people that happened to an object.

Events of the core group, since that is what kubectl reads. They are hints and may be dropped: posting must
never delay, fail or overload anything, and never repeats what it said within ten minutes.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, ApiError, ConfigError
from citadel.kube.resources import EVENTS, Object

log = logging.getLogger(__name__)

_MESSAGE = 1024  # characters; the API server refuses more
_KNOWN = 10_000  # objects and messages remembered


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object that an event is about."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""

    @classmethod
    def of(cls, obj: Object) -> Self:
        """The reference to an object that carries apiVersion and kind."""
        metadata = obj["metadata"]
        return cls(
            obj["apiVersion"],
            obj["kind"],
            metadata["name"],
            metadata.get("uid", ""),
            metadata.get("namespace", ""),
        )


@dataclass(frozen=True, slots=True)
class EventRates:
    """Bounds. `burst` and `per_second` overall, `object_*` for each object; `repeat` in seconds."""

    burst: float = 50
    per_second: float = 10
    object_burst: float = 10
    object_per_second: float = 1 / 30
    repeat: float = 600.0
    waiting: int = 1000


@dataclass(slots=True)
class TokenBucket:
    """A rate limit: `burst` at once, then `per_second`. Times are arguments, monotonic seconds."""

    burst: float
    per_second: float
    level: float
    at: float

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self.level = min(self.burst, self.level + (now - self.at) * self.per_second)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class EventFilter:
    """Which events are worth posting: pure, by what was posted before."""

    def __init__(self, rates: EventRates) -> None:
        self._rates = rates
        self._all: TokenBucket | None = None
        self._objects: OrderedDict[str, TokenBucket] = OrderedDict()
        self._said: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def judge(self, uid: str, reason: str, message: str, now: float) -> Literal["", "repeated", "limited"]:
        """Empty when the event is to be posted, else why it is not. `now` is monotonic seconds."""
        rates = self._rates
        said = self._said.get((uid, reason, message))
        if said is not None and now - said < rates.repeat:
            return "repeated"
        if self._all is None:
            self._all = TokenBucket(rates.burst, rates.per_second, rates.burst, now)
        own = self._objects.pop(uid, None) or TokenBucket(
            rates.object_burst, rates.object_per_second, rates.object_burst, now
        )
        self._objects[uid] = own
        if len(self._objects) > _KNOWN:
            self._objects.popitem(last=False)
        if not own.take(now) or not self._all.take(now):
            return "limited"
        self._said.pop((uid, reason, message), None)
        self._said[uid, reason, message] = now
        if len(self._said) > _KNOWN:
            self._said.popitem(last=False)
        return ""


class EventPoster:
    """Posts events from a bounded queue; use it as `async with`."""

    def __init__(
        self,
        client: KubeClient,
        component: str,
        instance: str,
        *,
        rates: EventRates | None = None,
        count: Callable[[str], None] = lambda result: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._rates = rates or EventRates()
        self._filter = EventFilter(self._rates)
        self._count = count
        self._clock = clock
        self._now = now
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(self._rates.waiting)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work(), name="events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def normal(self, about: ObjectRef, reason: str, message: str) -> None:
        """Say that something happened as it should."""
        self.post(about, "Normal", reason, message)

    def warning(self, about: ObjectRef, reason: str, message: str) -> None:
        """Say that something went wrong."""
        self.post(about, "Warning", reason, message)

    def post(self, about: ObjectRef, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Queue an event; returns at once, never raises. `reason` is CamelCase, `message` for people."""
        message = message if len(message) <= _MESSAGE else message[: _MESSAGE - 1] + "…"
        verdict = self._filter.judge(about.uid or about.name, reason, message, self._clock())
        if verdict:
            self._count(verdict)
            return
        try:
            self._waiting.put_nowait(
                render_event(about, kind, reason, message, self._component, self._instance, self._now())
            )
        except asyncio.QueueFull:
            self._count("dropped")

    async def flush(self, timeout: float = 2.0) -> None:
        """Wait until what was queued is posted, at most that many seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._waiting.join()
        except TimeoutError:
            log.info("events: %d not posted in time", self._waiting.qsize())

    async def close(self, timeout: float = 2.0) -> None:
        """Flush, then stop."""
        task, self._task = self._task, None
        if task is not None:
            await self.flush(timeout)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            event = await self._waiting.get()
            try:
                await self._client.create(EVENTS, event)
                self._count("posted")
            except AlreadyExists:
                self._count("repeated")  # said before a restart, or by the former leader
            except (ApiError, ConfigError, ValueError) as error:
                # Most often the namespace is being deleted, and nobody reads the event.
                self._count("refused")
                log.debug("event %s: %s", event["metadata"]["name"], error)
            finally:
                self._waiting.task_done()


def render_event(
    about: ObjectRef,
    kind: str,
    reason: str,
    message: str,
    component: str,
    instance: str,
    now: datetime,
    repeat: float = 600.0,
) -> Object:
    """The event object.

    Its name is a function of what it says and of the ten minutes it is said in, so that another process that
    says the same does not make a second one.
    """
    stamp = now.astimezone(UTC)
    slot = int(stamp.timestamp() // repeat)
    said = "\0".join((about.uid, reason, message, str(slot)))
    digest = hashlib.sha256(said.encode(errors="replace")).hexdigest()[:16]
    namespace = about.namespace or "default"
    seconds = stamp.strftime("%Y-%m-%dT%H:%M:%SZ")
    regarding = {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "name": about.name,
        "uid": about.uid,
        "namespace": about.namespace,
    }
    return {
        "apiVersion": EVENTS.api_version,
        "kind": "Event",
        "metadata": {"name": f"{about.name[:230]}.{digest}", "namespace": namespace},
        "involvedObject": {key: value for key, value in regarding.items() if value},
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "source": {"component": component, "host": instance},
        "reportingComponent": component,
        "reportingInstance": instance,
    }
