"""Packages of Runtimes: an ordinary Execution installs them, and the Runtime's status says what it left.

Nothing is kept here: which attempt is under way, and how often it was tried, is read from the Executions.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from citadel.api.reasons import Phase, Reason
from citadel.api.runtime import InstalledPackages, RuntimeSpec
from citadel.api.workflow import WorkflowSpec
from citadel.controller.installs import NotInstalled, Outcome, install_of, owner_of, recorded
from citadel.controller.objects import is_finished, parse_time
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Forbidden, Invalid
from citadel.kube.resources import EXECUTIONS, WORKFLOWS, Object
from citadel.render.packages import ARTIFACT, STEP, Indexes, Install
from citadel.store.blobs import Blobs
from citadel.store.journal import ExecutionUnknown, Journal

#: How often an install is tried, and the seconds before the second time; each further pause is longer.
ATTEMPTS, FIRST_PAUSE, FACTOR = 3, 60.0, 5
#: Seconds between two looks at an install that is under way, should its watch have missed its end.
LOOK_SECONDS = 15.0
#: Seconds between two looks whether packages are still there; what nobody holds is pruned after a day.
HOLD_SECONDS = 3600.0
_TAIL = 1200


class Packages:
    """Reconciles the packages of Runtimes with the Executions that install them."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        blobs: Blobs,
        indexes: Indexes,
        now: Callable[[], float],
    ) -> None:
        self._kube, self._cache, self._journal, self._blobs = kube, cache, journal, blobs
        self._indexes, self._now = indexes, now
        self._held: dict[str, float] = {}
        """Uids of Runtimes, and when their packages were last seen to be there."""

    async def reconcile(self, runtime: Object, spec: RuntimeSpec) -> Outcome:
        """One Runtime."""
        try:
            install = install_of(runtime, spec, self._indexes)
        except NotInstalled as problem:
            return Outcome(problem=problem)
        if install is None:
            return Outcome()
        found = recorded(runtime)
        is_current = found is not None and found.execution.startswith(f"{install.name}-")
        if found is not None and is_current and await self._hold(install, found.digest):
            return Outcome(found, again=HOLD_SECONDS)
        attempt, execution = self._last(install)
        try:
            if execution is None:
                return await self._begin(install, 1)
            if owner_of(execution) != (install.runtime, install.uid):
                return _foreign("Execution", execution["metadata"]["name"])
            if not is_finished(execution):
                return _under_way(install, attempt)
            if execution.get("status", {}).get("phase") == Phase.SUCCEEDED:
                return await self._finish(install, attempt, execution)
            return await self._failed(install, attempt, execution)
        except (Forbidden, Invalid) as error:
            return _failure(f"the API server refuses the install: {error}", again=FIRST_PAUSE)

    def _last(self, install: Install) -> tuple[int, Object | None]:
        for attempt in range(ATTEMPTS, 0, -1):
            found = self._cache.get(EXECUTIONS, install.namespace, f"{install.name}-{attempt}")
            if found is not None:
                return attempt, found
        return 0, None

    async def _begin(self, install: Install, attempt: int) -> Outcome:
        try:
            await self._kube.create(WORKFLOWS, install.workflow())
        except AlreadyExists:
            there = await self._kube.get(WORKFLOWS, install.name, install.namespace)
            if owner_of(there) != (install.runtime, install.uid):
                return _foreign("Workflow", install.name)
        with suppress(AlreadyExists):  # not in the cache yet; the next look says whose it is
            await self._kube.create(EXECUTIONS, install.execution(attempt))
        return _under_way(install, attempt)

    async def _finish(self, install: Install, attempt: int, execution: Object) -> Outcome:
        """Takes what a successful Execution left, if it ran what we asked for: anybody can take a name."""
        name, uid = execution["metadata"]["name"], execution["metadata"]["uid"]
        try:
            state = await self._journal.read(uid)
        except ExecutionUnknown:
            return await self._lost(install, attempt, f"the journal does not know Execution {name} any more")
        expected = WorkflowSpec.model_validate(install.workflow_spec())
        plan = state.plan
        if plan is None or plan.index is None or plan.workflow.spec != expected:
            return _foreign("Execution", name)
        tree = state.steps[STEP].artifacts[ARTIFACT]
        if not await self._hold(install, tree.digest, fresh=True):
            return await self._lost(install, attempt, f"what Execution {name} installed is not kept any more")
        return Outcome(
            InstalledPackages(digest=tree.digest, size=tree.size, execution=name), again=HOLD_SECONDS
        )

    async def _hold(self, install: Install, digest: str, *, fresh: bool = False) -> bool:
        """Keeps the tree from being pruned, as long as a Runtime has it; False when it is gone."""
        if not fresh and self._now() - self._held.get(install.uid, float("-inf")) < HOLD_SECONDS:
            return True
        held = await self._blobs.hold(install.namespace, digest)
        if held:
            self._held[install.uid] = self._now()
        return held

    async def _lost(self, install: Install, attempt: int, why: str) -> Outcome:
        if attempt == ATTEMPTS:
            return _failure(f"{why}; delete its Executions to install again")
        return await self._begin(install, attempt + 1)

    async def _failed(self, install: Install, attempt: int, execution: Object) -> Outcome:
        status = execution.get("status", {})
        said = _told(execution["metadata"]["name"], status)
        if attempt == ATTEMPTS:
            return _failure(f"{said}\nIt was tried {ATTEMPTS} times; a change of spec begins anew.")
        pause = FIRST_PAUSE * FACTOR ** (attempt - 1)
        left = parse_time(status["finishedAt"]) + pause - self._now()
        if left <= 0:
            return await self._begin(install, attempt + 1)
        return _failure(f"{said}\nIt is tried again {pause:.0f} s later.", again=left)


def _told(name: str, status: dict[str, Any]) -> str:
    """How an Execution ended, and the last lines that it printed."""
    failure = status.get("failure") or {}
    lines = (failure.get("logTail") or "").strip()
    tail = lines[-_TAIL:].partition("\n")[2] if len(lines) > _TAIL else lines
    head = f"Execution {name}: {failure.get('reason') or status.get('reason')}: "
    head += str(failure.get("message") or status.get("message") or "")[:400]
    return f"{head}\n{tail}" if tail else head


def _under_way(install: Install, attempt: int) -> Outcome:
    message = f"Execution {install.name}-{attempt} installs its packages"
    return Outcome(problem=NotInstalled(Reason.INSTALLING_PACKAGES, message), again=LOOK_SECONDS)


def _foreign(kind: str, name: str) -> Outcome:
    return _failure(
        f"{kind} {name} exists, and is not what installs these packages; delete it", again=FIRST_PAUSE
    )


def _failure(message: str, again: float | None = None) -> Outcome:
    return Outcome(problem=NotInstalled(Reason.PACKAGES_FAILED, message), again=again)
