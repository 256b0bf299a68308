"""Executions: taking them into the journal, passing on what people ask, writing back how they stand.

Observe (the object, the journal), decide (`wishes`, pure), act. The journal is the truth: a status that was
not written is written at the next look.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from citadel.api.execution import ExecutionSpec
from citadel.api.reasons import Phase, Reason
from citadel.api.validate import InvalidObject, parse
from citadel.controller.checking import Unusable
from citadel.controller.children import Children
from citadel.controller.definitions import Definitions
from citadel.controller.objects import is_finished, parse_time, read_conditions, status_of
from citadel.controller.outside import Outside
from citadel.controller.reruns import Reruns, Start
from citadel.controller.turns import Turns
from citadel.controller.wishes import requests, target, wishes
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.inputs import InvalidInputs
from citadel.core.jsonvalues import holds_null
from citadel.core.state import State
from citadel.core.usage import UsageOf, spent
from citadel.core.values import Values
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Conflict, NotFound
from citadel.kube.events import EventPoster, ObjectRef
from citadel.kube.resources import EXECUTIONS, Object
from citadel.render.status import Isolation, Observed, execution_status, rejected_status
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Journal, ValuesLost, json_of
from citadel.store.sandboxes import Sandboxes, SandboxRow

#: Seconds between two status writes while running.
STATUS_PAUSE = 1.0
#: Seconds from its beginning to its first status: many end before, and then it is their only one.
FIRST_PAUSE = 0.25
#: Seconds between two looks at an execution whose journal this version cannot read.
CORRUPT_PAUSE = 60.0


@dataclass(frozen=True)
class Waiting:
    """Why the sandboxes of an execution do not run yet: its uid -> `Reason: message`."""

    reasons: dict[str, str]


class Executions:
    """Reconciles Executions."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        sandboxes: Sandboxes,
        definitions: Definitions,
        reruns: Reruns,
        events: EventPoster,
        waiting: Waiting,
        children: Children,
        turns: Turns,
        outside: Outside,
        ended: Callable[[str, float], None] = lambda phase, seconds: None,
        now: Callable[[], float] = time.time,
        usage: UsageOf | None = None,
    ) -> None:
        self._kube, self._cache, self._journal = kube, cache, journal
        self._sandboxes = sandboxes
        self._definitions, self._reruns = definitions, reruns
        self._events, self._waiting = events, waiting
        self._children, self._turns, self.outside = children, turns, outside
        self._ended, self._now, self._usage = ended, now, usage
        self._written: dict[str, float] = {}

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Execution; returns seconds after which to look again."""
        obj = self._cache.get(EXECUTIONS, namespace, name)
        if obj is None:
            return None
        if is_finished(obj):
            return await self._expire(obj)
        try:
            return await self._advance(obj)
        except CorruptJournal as error:
            message = f"the journal cannot be read by this version: {error.why}"[:1024]
            if await self._write(
                obj, {**status_of(obj), "reason": Reason.JOURNAL_CORRUPT, "message": message}
            ):
                self._events.warning(_reference(obj), Reason.JOURNAL_CORRUPT, message)
            return CORRUPT_PAUSE

    async def _advance(self, obj: Object) -> float | None:
        uid = obj["metadata"]["uid"]
        obj = await self._children.obey(obj)
        try:
            state = await self._journal.read(uid)
        except ExecutionUnknown:
            taken = await self._take_in(obj)
            if not isinstance(taken, State):
                return taken
            state = taken
        facts = requests(obj, state)
        if facts:
            state = (await self._journal.advance(uid, facts)).state
        await self._turns.make_room(state)
        state = await self._children.follow(obj, state)
        state, asked = await self.outside.follow(obj, state)
        if state.finished is not None:
            await self._children.tell(obj, state)
        reported = await self._report(obj, state)
        return min((pause for pause in (asked, reported) if pause is not None), default=None)

    async def gone(self, uid: str, name: str) -> None:
        """The object was deleted: whatever still runs of it is ended."""
        self._written.pop(uid, None)
        self._waiting.reasons.pop(uid, None)
        stop = ev.StopRequested("Terminate", Reason.DELETED, f"Execution {name} was deleted")
        with suppress(ExecutionUnknown):
            await self._journal.advance(uid, [stop])
        await self.outside.gone(uid)

    async def _take_in(self, obj: Object) -> State | float | None:
        """Brings a new execution into the journal: its state, or seconds after which to try again."""
        metadata = obj["metadata"]
        if status_of(obj).get("startedAt"):
            message = "the journal does not know this execution, which had started: it does not run again"
            if await self._write(obj, self._rejection(obj, Phase.FAILED, Reason.JOURNAL_LOST, message)):
                self._events.warning(_reference(obj), Phase.FAILED, f"{Reason.JOURNAL_LOST}: {message}")
            return None
        definition = None
        try:
            spec = parse("Execution", obj)
            assert isinstance(spec, ExecutionSpec)
            start = await self._start(metadata["namespace"], spec)
        except Unusable as problem:
            age = self._now() - parse_time(metadata["creationTimestamp"])
            waits = problem.waits and problem.reason is not Reason.POLICY_DENIED
            if waits and age < problem.grace:
                await self._write(obj, self._rejection(obj, Phase.PENDING, problem.reason, problem.message))
                return 1.0
            failure = Failure.cut(problem.reason, problem.message)
        except InvalidObject as error:
            failure = Failure.cut(Reason.INVALID_SPEC, str(error))
        except InvalidInputs as error:
            failure = Failure.cut(Reason.INVALID_INPUTS, f"Execution {metadata['name']}: {error}")
        else:
            definition = start.pinned.document
        identity = (metadata["name"], metadata["namespace"], metadata["uid"])
        if definition is None:
            rejected = ev.Rejected(*identity, target(obj), failure)
            return (await self._journal.advance(metadata["uid"], [rejected])).state
        values = Values()
        created = ev.Created(
            *identity,
            spec.workflow_ref.name,
            start.pinned.plan.digest,
            values.put(start.inputs),
            values.put(start.taken.payload()) if start.taken.steps else None,
            start.rerun_of,
            spec.no_cache,
            *await self._turns.asked(obj, start.pinned.plan.workflow.spec),
        )
        facts = [created, *wishes(spec, metadata.get("generation", 1))]
        try:
            advance = await self._journal.advance(
                metadata["uid"],
                facts,
                definition=definition,
                outputs=values.made,
                inherited=start.inherited,
            )
        except ValuesLost:
            return 1.0  # what it is a rerun of was deleted just now: the next look tells
        return advance.state

    async def _start(self, namespace: str, spec: ExecutionSpec) -> Start:
        """What an execution begins with; raises Unusable and InvalidInputs."""
        if spec.rerun_of is not None:
            return await self._reruns.start(namespace, spec, spec.rerun_of)
        workflow, revision = spec.workflow_ref.name, spec.workflow_ref.revision
        if revision is None:
            pinned = await self._definitions.pin(namespace, workflow)
        else:
            pinned = await self._definitions.pin_revision(namespace, workflow, revision)
        return Start(pinned, pinned.plan.workflow.inputs.apply(spec.inputs))

    async def _report(self, obj: Object, state: State) -> float | None:
        uid = obj["metadata"]["uid"]
        terminal = state.finished is not None
        pause = self._written.get(uid, float("-inf")) + STATUS_PAUSE - time.monotonic()
        if not status_of(obj).get("phase"):
            # The clocks are two: however far they are apart, the status comes.
            pause = min(FIRST_PAUSE, state.created_at + FIRST_PAUSE - self._now())
        if pause > 0 and not terminal:
            return pause
        outputs: Any = None
        if state.finished is not None and state.finished.outputs is not None:
            outputs = await json_of(self._journal, uid, state.finished.outputs)
        state = await spent(state, uid, self._usage)
        observed = Observed(
            state,
            obj["metadata"].get("generation", 0),
            read_conditions(obj),
            outputs,
            self._waiting.reasons.get(uid),
            isolation_of(await self._sandboxes.of(uid)) if state.sandboxes else Isolation(),
        )
        if await self._write(obj, execution_status(observed)) and terminal:
            self._announce(obj, state)
            self._written.pop(uid, None)
        return None

    async def _write(self, obj: Object, status: dict[str, Any]) -> bool:
        """Writes the status where it differs; what is no longer said is removed. False: nothing to write."""
        metadata, before = obj["metadata"], status_of(obj)
        patch = {key: value for key, value in status.items() if before.get(key) != value}
        patch.update({key: None for key in before if key not in status})
        if not patch:
            return False
        where = (EXECUTIONS, metadata["name"])
        try:
            if holds_null(status.get("outputs")):
                written = await self._kube.replace_status(
                    *where, status, metadata["namespace"], metadata["uid"]
                )
            else:
                written = await self._kube.patch_status(
                    *where, patch, metadata["namespace"], uid=metadata["uid"]
                )
        except (NotFound, Conflict):
            return False
        self._cache.put(EXECUTIONS, written)
        self._written[metadata["uid"]] = time.monotonic()
        return True

    def _rejection(self, obj: Object, phase: Phase, reason: str, message: str) -> dict[str, Any]:
        conditions = read_conditions(obj)
        generation = obj["metadata"].get("generation", 0)
        return rejected_status(generation, conditions, phase, reason, message, self._now())

    def _announce(self, obj: Object, state: State) -> None:
        finished = state.finished
        assert finished is not None
        self._ended(finished.phase, (state.finished_at or 0.0) - state.created_at)
        about = _reference(obj)
        if finished.phase == Phase.SUCCEEDED:
            done, total = state.ended_steps, state.total_steps
            self._events.normal(about, finished.phase, f"{done}/{total} steps ended")
        else:
            self._events.warning(about, finished.phase, f"{finished.reason}: {finished.message}")

    async def _expire(self, obj: Object) -> float | None:
        """Deletes a finished Execution when its time is over; returns the seconds that are left."""
        metadata = obj["metadata"]
        self._written.pop(metadata["uid"], None)
        spec, finished = obj.get("spec"), status_of(obj).get("finishedAt")
        ttl = spec.get("ttlSecondsAfterFinished") if isinstance(spec, dict) else None
        if ttl is None or finished is None:
            return None
        left = parse_time(finished) + float(ttl) - self._now()
        if left > 0:
            return left
        with suppress(NotFound, Conflict):
            await self._kube.delete(EXECUTIONS, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        return None


def isolation_of(rows: Iterable[SandboxRow]) -> Isolation:
    """What the sandboxes found; one whose runner never registered has found nothing, and done nothing."""
    found = [row for row in rows if row.session_hash is not None]
    answered = {name for row in found if row.isolated is False for name in (row.answered or "").split(",")}
    return Isolation(
        proven=sum(row.isolated is True for row in found),
        unknown=sum(row.isolated is None for row in found),
        broken=sum(row.isolated is False for row in found),
        answered=tuple(sorted(answered)),
    )


def _reference(obj: Object) -> ObjectRef:
    """What an event about an Execution names; items of a list do not say what they are."""
    return ObjectRef.of({"apiVersion": EXECUTIONS.api_version, "kind": "Execution", **obj})
