"""Sandboxes: rows that say what shall be, pods that say what is.

Observe (row, pod), decide (`deciding`, pure), act. A pod is created under a deterministic name, when
there is room for it. Members of pools give up theirs to executions.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from citadel.api.reasons import Reason
from citadel.controller.deciding import born, decide_sandbox, decide_unproven
from citadel.controller.executions import Waiting
from citadel.controller.images import Images
from citadel.controller.making import PodMaker, Unmade
from citadel.controller.pods import Diagnosis, is_live
from citadel.controller.policies import Policies
from citadel.controller.room import Limits, Room
from citadel.controller.site import RuntimeClasses
from citadel.core.hashing import hashed
from citadel.core.policy import isolation_required, sandbox_denial
from citadel.core.sessions import failure_of
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Conflict, Forbidden, NotFound
from citadel.kube.resources import PODS, Object
from citadel.render.pod import key_of
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.sandboxes import Pools, Sandboxes, SandboxRow

#: Seconds after which one that waits for room is looked at, though nobody said that it is its turn.
QUEUE_PAUSE = 5.0
#: Seconds for which members of pools make room on nodes for one that no node takes: what does not fit then is
#: too large, and must not cost others their pools.
EVICT_SECONDS = 60.0


class SandboxPods:
    """Reconciles sandbox rows with pods."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        sandboxes: Sandboxes,
        policies: Policies,
        classes: RuntimeClasses,
        namespace: str,
        waiting: Waiting,
        pools: Pools,
        *,
        limits: Limits,
        patience: float,
        changed: Callable[[SandboxRow], None],
        failed: Callable[[SandboxRow, Diagnosis], None] = lambda row, diagnosis: None,
        now: Callable[[], float] = time.time,
        make_key: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._kube, self._cache, self._journal, self._sandboxes = kube, cache, journal, sandboxes
        self._policies = policies
        self._namespace = namespace
        self._waiting, self._changed, self._failed = waiting, changed, failed
        self._images = Images(kube, cache, sandboxes)
        self._pools, self._patience, self._now = pools, patience, now
        self._maker = PodMaker(kube, classes, namespace, make_key)
        self._room = Room(limits)

    async def start(self) -> None:
        """How many are live must be known before the first is made."""
        for row in await self._sandboxes.open():
            self._room.see(row.name, row)

    async def reconcile(self, name: str) -> float | None:
        """One sandbox; returns seconds after which to look again."""
        row = await self._sandboxes.get(name)
        pod = await self._pod(row, name)
        action = decide_sandbox(row, pod, self._now(), self._patience)
        self._room.see(name, row)
        if action.verb == "delete":
            await self._delete(name, pod, row)
        if row is None:
            return None
        match action.verb:
            case "create":
                return await self._create(row)
            case "adopt":
                await self._record(row, await self._made(row, self._maker.adopt))
            case "forget":
                await self._sandboxes.observe(name, status="gone")
                self._room.see(name, None)
            case "end":
                await self._end(row, action.diagnosis)
            case "wait" | "run":
                assert pod is not None
                wrong = await self._images.check(row, pod)
                if wrong is not None:
                    await self._end(row, wrong)
                elif action.verb == "run" and not row.isolated:
                    return await self._guard(row, pod)
                else:
                    await self._wait(row, action.diagnosis)
            case "delete" | "nothing" if pod is not None:
                # Its work may be done before the kubelet tells what it ran, and others are to run the same.
                await self._images.check(row, pod)
        return action.again

    async def _pod(self, row: SandboxRow | None, name: str) -> Object | None:
        """The pod of a sandbox. That a recorded one is gone is believed of the API server, not of a cache."""
        pod = self._cache.get(PODS, self._namespace, name)
        if pod is None and row is not None and row.pod_uid is not None and row.status in ("wanted", "live"):
            try:
                pod = await self._kube.get(PODS, name, self._namespace)
            except NotFound:
                return None
            self._cache.put(PODS, pod)
        return pod

    async def _guard(self, row: SandboxRow, pod: Object | None) -> float | None:
        """A sandbox that runs, and has not proven its isolation: no matter, unless that is required."""
        assert pod is not None
        action = decide_unproven(row, await self._guarded(row), self._now() - born(pod))
        if action.verb == "end":
            await self._end(row, action.diagnosis)
        else:
            self._note(row, action.diagnosis)
        return action.again

    async def _guarded(self, row: SandboxRow) -> bool:
        if row.uid is None:
            return False  # a member of a pool is proven once it has work to do
        if isolation_required(await self._policies.of(row.namespace)):
            return True
        plan = (await self._journal.read(row.uid)).plan
        return plan is not None and plan.workflow.spec.isolation.required

    async def lost(self, row: SandboxRow, why: str) -> None:
        """Ends a sandbox that nothing is heard of."""
        await self._end(row, Diagnosis(ended=Reason.SANDBOX_LOST, message=why))

    def next_queued(self) -> str | None:
        """Whose turn it is to start, if there is room."""
        return next(iter(self._room.admitted(self._pods())), None)

    def _pods(self) -> dict[str, bool]:
        """Pods that are known, and whether each takes room."""
        return {pod["metadata"]["name"]: is_live(pod) for pod in self._cache.objects(PODS)}

    async def _create(self, row: SandboxRow) -> float | None:
        # A shared Runtime's member serves any namespace; what each of them permits is asked when it does.
        policies = await self._policies.of(row.namespace) if row.namespace else ()
        denial = sandbox_denial(policies, row.template)
        if denial is not None:
            await self._end(row, Diagnosis(ended=Reason.POLICY_DENIED, message=denial.text))
            return None
        self._room.wait(row)
        pods = self._pods()
        if row.name not in self._room.admitted(pods):
            reason = self._room.reason(row, pods)
            if reason is not None:
                self._note(row, Diagnosis(waiting=Reason.SANDBOX_LIMIT, message=reason))
            if self._room.lacking(pods):
                await self._evict()
            return QUEUE_PAUSE
        self._room.take(row)
        pod = None
        try:
            row = await self._images.pin(row)
            pod = await self._made(row, self._maker.make)
        finally:
            if pod is None:
                self._room.leave(row.name)
        await self._record(row, pod)
        return None

    async def _evict(self) -> None:
        """A member of a pool gives up its room: the youngest, and one at a time."""
        rows = [row for row in await self._sandboxes.open() if row.uid is None and row.pod_uid is not None]
        if any(row.status == "draining" for row in rows):
            return
        for row in reversed(rows):
            if await self._pools.retire(row.name):
                return

    async def _wait(self, row: SandboxRow, diagnosis: Diagnosis) -> None:
        """The pod is on its way, or runs; a member of a pool must not wait for room on a node."""
        self._note(row, diagnosis)
        if diagnosis.waiting is not Reason.UNSCHEDULABLE:
            return
        if row.uid is None:
            await self._end(row, diagnosis)
        elif self._now() - row.wanted_at < EVICT_SECONDS:
            await self._evict()

    async def _record(self, row: SandboxRow, pod: Object | None) -> None:
        if pod is not None:
            self._cache.put(PODS, pod)
            key_hash = hashed(key_of(pod) or "")
            await self._sandboxes.observe(row.name, pod_uid=pod["metadata"]["uid"], key_hash=key_hash)

    async def _made(self, row: SandboxRow, make: Callable[[SandboxRow], Awaitable[Object]]) -> Object | None:
        """The pod of a sandbox, if there can be one; else the sandbox ends."""
        try:
            return await make(row)
        except Forbidden as error:
            self._note(row, Diagnosis(waiting=Reason.UNSCHEDULABLE, message=str(error)))
            raise
        except Unmade as problem:
            await self._end(row, problem.diagnosis)
        return None

    async def _delete(self, name: str, pod: Mapping[str, Any] | None, row: SandboxRow | None) -> None:
        assert pod is not None
        grace = 0 if row is not None and row.immediate else None
        try:
            await self._kube.delete(
                PODS, name, self._namespace, uid=pod["metadata"]["uid"], grace_seconds=grace
            )
        except (NotFound, Conflict):
            self._cache.delete(PODS, dict(pod))

    async def _end(self, row: SandboxRow, diagnosis: Diagnosis) -> None:
        if row.uid is None:
            if await self._pools.retire(row.name):
                if row.session_hash is None:
                    self._failed(row, diagnosis)
                return
            claimed = await self._sandboxes.get(row.name)
            if claimed is None or claimed.uid is None:
                return
            row = claimed
        assert row.uid is not None
        self._waiting.reasons.pop(row.uid, None)
        try:
            await self._journal.advance(row.uid, [failure_of(row.name, diagnosis.ended, diagnosis.message)])
        except ExecutionUnknown:
            await self._sandboxes.observe(row.name, status="draining")

    def _note(self, row: SandboxRow, diagnosis: Diagnosis) -> None:
        """Remembers why an execution waits, and says so to its status when that changed."""
        said = f"{diagnosis.waiting}: {diagnosis.message}" if diagnosis.waiting is not None else None
        if row.uid is None:
            return
        if self._waiting.reasons.get(row.uid) == said:
            return
        if said is None:
            del self._waiting.reasons[row.uid]
        else:
            self._waiting.reasons[row.uid] = said
        self._changed(row)
