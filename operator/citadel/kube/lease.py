"""Leader election on a coordination.k8s.io Lease: at most one process talks for the controller at a time.

Who takes over, and when, is decided in `election`. A Lease divides labour; it must never be relied on to
fence a database.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from citadel.kube.client import KubeClient
from citadel.kube.election import (
    Create,
    LeaseRecord,
    Observed,
    Take,
    Term,
    Wait,
    decide_lease,
    parse_lease,
    pod_is_gone,
)
from citadel.kube.errors import AlreadyExists, ApiError, ConfigError, Conflict, NotFound
from citadel.kube.resources import LEASES, PODS, Object

OnLead = Callable[[asyncio.Event], Awaitable[None]]
"""Runs while we lead. The event is set when the lead is lost: stop at once, another may already lead."""

log = logging.getLogger(__name__)


class Lease:
    """One candidate for one Lease. `clock` is monotonic; `now` only fills in times that people read."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        term: Term | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_change: Callable[[bool], None] = lambda leads: None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._me = identity
        self._term = term or Term()
        self._clock = clock
        self._now = now
        self._on_change = on_change
        self._seen: LeaseRecord | None = None
        self._unchanged_since = 0.0
        self._leads = False
        self._version = ""
        self._sent = 0.0
        self._writing = False
        self._warned = ""

    @property
    def leads(self) -> bool:
        """Whether this process holds the Lease now."""
        return self._leads

    async def lead(self, on_lead: OnLead, *, grace: float = 3.0) -> bool:
        """Wait for the lead, run `on_lead` while holding it, and give it back.

        True: `on_lead` ended by itself. False: the lead was lost; `on_lead` was told, had `grace` seconds,
        and was then cancelled. Its exceptions come through. A cancelled call cancels `on_lead` and releases.
        """
        try:
            await self._acquire()
        except asyncio.CancelledError:
            if self._writing:
                await self._release()
            raise
        lost = asyncio.Event()
        work = asyncio.ensure_future(on_lead(lost))
        renewal = asyncio.create_task(self._renew(lost))
        try:
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            held = not renewal.done()
            if not work.done():
                await asyncio.wait((work,), timeout=grace)
            if work.done():
                await work
            return held
        finally:
            held = not renewal.done()
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)
            self._set(False)
            if held:
                await self._release()

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(self._term.poll * random.uniform(0.8, 1.2))  # noqa: S311 - spreads candidates

    async def _try(self) -> bool:
        """Look once; True when we lead now. Errors count as somebody else leading."""
        try:
            async with asyncio.timeout(self._term.duration):
                action = decide_lease(await self._observe(), self._clock())
                if isinstance(action, Wait):
                    return False
                self._sent = self._clock()
                self._writing = True  # a cancelled write may still arrive
                await self._write(action)
                self._writing = False
        except (Conflict, AlreadyExists):
            self._writing = False
            return False
        except (ApiError, ConfigError, TimeoutError) as error:
            self._warn(error)
            return False
        self._set(True)
        return True

    async def _observe(self) -> Observed:
        try:
            record = parse_lease(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            return Observed(self._me, None, 0.0)
        if self._seen is None or self._seen.mark != record.mark:
            self._unchanged_since = self._clock()
        self._seen = record
        gone = bool(record.holder) and record.holder != self._me and await self._gone(record.holder)
        return Observed(self._me, record, self._unchanged_since, gone)

    async def _gone(self, holder: str) -> bool:
        """Whether the holder is a pod (`<name>_<uid>`) that is gone; what cannot be told is not gone."""
        pod_name, _, uid = holder.rpartition("_")
        if not pod_name or not uid:
            return False
        try:
            return pod_is_gone(await self._client.get(PODS, pod_name, self._namespace), uid)
        except NotFound:
            return True
        except (ApiError, ValueError):
            return False

    async def _write(self, action: Create | Take) -> None:
        spec: Object = {"holderIdentity": self._me, "leaseDurationSeconds": self._term.duration}
        spec["acquireTime"] = spec["renewTime"] = self._stamp()
        if isinstance(action, Create):
            spec["leaseTransitions"] = 0
            metadata = {"name": self._name, "namespace": self._namespace}
            body = {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
            written = await self._client.create(LEASES, body)
        else:
            spec["leaseTransitions"] = action.transitions
            self._version = action.version
            written = await self._patch(spec)
        self._version = parse_lease(written).version

    async def _renew(self, lost: asyncio.Event) -> None:
        """Renew until it fails for too long; then set `lost` and end."""
        try:
            while True:
                deadline = self._sent + self._term.duration - self._term.margin
                await asyncio.sleep(min(self._term.renew, max(0.0, deadline - self._clock())))
                left = deadline - self._clock()
                if left <= 0 or not await self._renewed(left):
                    break
            log.warning("lease %s/%s: lost the lead", self._namespace, self._name)
        finally:
            self._set(False)
            lost.set()

    async def _renewed(self, left: float) -> bool:
        """Renew, trying again for `left` seconds; False when another holds the Lease or the time is over."""
        try:
            async with asyncio.timeout(left):
                while True:
                    sent = self._clock()
                    try:
                        async with asyncio.timeout(self._term.answer):
                            written = await self._patch({"renewTime": self._stamp()})
                    except (Conflict, NotFound):
                        if not await self._still_ours():
                            return False
                        continue
                    except (ApiError, ConfigError, TimeoutError) as error:
                        self._warn(error)
                        await asyncio.sleep(self._term.renew / 4)
                        continue
                    self._version, self._sent, self._warned = parse_lease(written).version, sent, ""
                    return True
        except TimeoutError:
            return False

    async def _still_ours(self) -> bool:
        """After a conflict: somebody may have labelled the Lease, or our own write got through unanswered."""
        try:
            record = parse_lease(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            return False
        except (ApiError, ConfigError):
            return bool(self._version)
        self._version = record.version
        return record.holder == self._me

    async def _release(self) -> None:
        free: Object = {"holderIdentity": None, "renewTime": self._stamp()}
        with suppress(ApiError, ConfigError, TimeoutError):
            async with asyncio.timeout(self._term.renew):
                # Asked first: a write that was under way when we stopped may have changed the version.
                if await self._still_ours():
                    await self._patch(free)

    async def _patch(self, spec: Object) -> Object:
        body: Object = {"metadata": {"resourceVersion": self._version}, "spec": spec}
        return await self._client.patch(LEASES, self._name, body, self._namespace)

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _warn(self, error: Exception) -> None:
        told = str(error) or "no answer in time"
        # An API server that is away is asked every second, but complained about once.
        if told != self._warned:
            self._warned = told
            log.warning("lease %s/%s: %s", self._namespace, self._name, told)

    def _set(self, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            self._on_change(leads)
