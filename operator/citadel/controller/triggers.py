"""Triggers: starting executions at the times of a schedule, and keeping as many as the limits say.

Observe (the object, its executions), decide (`core/trigger.py`, pure), act. A start is an Execution whose
name is made of its time: whoever starts it once more, after a crash or beside a former leader, finds it.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from citadel.api.meta import TRIGGER_LABEL
from citadel.api.reasons import Reason
from citadel.api.trigger import TriggerSpec
from citadel.api.validate import InvalidObject, parse
from citadel.controller.checking import Unusable, checked
from citadel.controller.objects import read_time, run_of, status_of
from citadel.controller.readiness import RECHECK, Readiness
from citadel.core.inputs import InvalidInputs
from citadel.core.plan import compile_workflow
from citadel.core.trigger import Decision, Observed, decide_trigger, execution_name
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Conflict, Invalid, NotFound
from citadel.kube.events import EventPoster, ObjectRef
from citadel.kube.resources import EXECUTIONS, TRIGGERS, WORKFLOWS, Object
from citadel.render.trigger import execution_of, inputs_at

#: Seconds after which a schedule is looked at though nothing is due: clocks are set, and machines sleep.
LONGEST = 300.0
_SHOWN = 20


class Triggers:
    """Reconciles Triggers. `started` is told namespace and name of an Execution that was made."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        readiness: Readiness,
        events: EventPoster,
        started: Callable[[str, str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kube, self._cache, self._readiness = kube, cache, readiness
        self._events, self._started, self._now = events, started, now
        self._said: dict[tuple[str, str], str] = {}
        """What was last told of each Trigger's missed times: they stay missed until the next one."""
        self._fits: dict[tuple[str, str], tuple[Any, Unusable | None]] = {}
        """By what each Trigger was last compared with its Workflow, and what came of it: that takes long."""

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Trigger; returns seconds after which to look again."""
        obj = self._cache.get(TRIGGERS, namespace, name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self._said.pop((namespace, name), None)
            self._fits.pop((namespace, name), None)
            return None
        try:
            spec = parse("Trigger", obj)
        except InvalidObject as error:
            problem = Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False)
            await self._readiness.write(TRIGGERS, obj, problem, nextScheduleTime=None)
            return None
        decision = decide_trigger(self._observed(obj, spec, self._cache.objects(EXECUTIONS)))
        if decision.start is not None and spec.cron.concurrency_policy != "Allow":
            # The watch may not have told yet of what it waits for, or takes the place of.
            listed = await self._kube.list(EXECUTIONS, namespace, label_selector=f"{TRIGGER_LABEL}={name}")
            decision = decide_trigger(self._observed(obj, spec, listed.items))
        made = await self._act(obj, spec, decision)
        unmet = await self._problem(obj, spec)
        await self._readiness.write(TRIGGERS, obj, unmet, **_status(decision, made))
        waits = [LONGEST, RECHECK if unmet is not None else LONGEST]
        if decision.next is not None:
            waits.append(max(0.01, decision.next.timestamp() - self._now()))
        return min(waits)

    def _observed(self, obj: Object, spec: TriggerSpec, executions: Iterable[Object]) -> Observed:
        metadata, status = obj["metadata"], status_of(obj)
        mine = [item for item in executions if belongs(item, metadata["namespace"], metadata["name"])]
        now = datetime.fromtimestamp(self._now(), UTC)
        return Observed(
            metadata["name"],
            spec,
            read_time(metadata.get("creationTimestamp")) or now,
            now,
            tuple(run_of(item) for item in mine),
            read_time(status.get("lastScheduleTime")),
            read_time(status.get("lastSuccessfulTime")),
        )

    async def _act(self, obj: Object, spec: TriggerSpec, decision: Decision) -> Object | None:
        """Does what was decided; the Execution that was made, or was there already."""
        about, namespace = _reference(obj), obj["metadata"]["namespace"]
        for note in decision.notes:
            if self._said.get((namespace, about.name)) != note.message:
                self._said[namespace, about.name] = note.message
                self._events.post(about, "Warning" if note.warning else "Normal", note.reason, note.message)
        for run in decision.cancel:
            with suppress(NotFound, Conflict):
                body = {"metadata": {"uid": run.uid}, "spec": {"stop": "Cancel"}}
                await self._kube.patch(EXECUTIONS, run.name, body, namespace)
            self._events.normal(about, "Replaced", f"cancelled execution {run.name}, which still ran")
        made = None
        if decision.start is not None:
            made = await self._start(obj, spec, decision.start)
        for run in decision.delete:
            with suppress(NotFound, Conflict):
                await self._kube.delete(EXECUTIONS, run.name, namespace, uid=run.uid)
        return made

    async def _start(self, obj: Object, spec: TriggerSpec, scheduled: datetime) -> Object | None:
        namespace = obj["metadata"]["namespace"]
        trigger = obj["metadata"]["name"]
        wanted = execution_of(spec, trigger, namespace, execution_name(trigger, scheduled), scheduled)
        name = wanted["metadata"]["name"]
        about = _reference(obj)
        try:
            made = await self._kube.create(EXECUTIONS, wanted)
        except AlreadyExists:
            made = await self._kube.get(EXECUTIONS, name, namespace)
            if not belongs(made, namespace, trigger):
                self._events.warning(about, "NameTaken", f"Execution {name} is not of this Trigger")
                return None
        except Invalid as error:
            self._events.warning(about, "FailedCreate", f"Execution {name}: {error.message}")
            return None
        else:
            self._events.normal(about, "Started", f"started execution {name}")
        if self._cache.put(EXECUTIONS, made):
            self._started(namespace, name)  # of what is in the cache already no watch tells
        return made

    async def _problem(self, obj: Object, spec: TriggerSpec) -> Unusable | None:
        """What would make every execution fail; it may pass without an edit of the Trigger."""
        namespace, workflow_name = obj["metadata"]["namespace"], spec.workflow_ref.name
        workflow = self._cache.get(WORKFLOWS, namespace, workflow_name)
        if workflow is None:
            try:
                workflow = await self._kube.get(WORKFLOWS, workflow_name, namespace)
            except NotFound:
                message = f"Workflow {workflow_name} does not exist in namespace {namespace}"
                return Unusable(Reason.WORKFLOW_NOT_FOUND, message, waits=True)
        both = [(item["metadata"]["uid"], item["metadata"].get("generation")) for item in (workflow, obj)]
        known = self._fits.get((namespace, obj["metadata"]["name"]))
        if known is None or known[0] != both:
            known = both, _misfit(workflow, spec, datetime.fromtimestamp(self._now(), UTC))
            self._fits[namespace, obj["metadata"]["name"]] = known
        return known[1]


def _misfit(workflow: Object, spec: TriggerSpec, at: datetime) -> Unusable | None:
    """Why a Workflow cannot be executed with the inputs of a Trigger."""
    try:
        compile_workflow(checked(workflow)).inputs.apply(inputs_at(spec, "name", at))
    except Unusable as problem:
        return Unusable(problem.reason, problem.message, waits=True)
    except InvalidInputs as error:
        name = workflow["metadata"]["name"]
        message = f"Workflow {name} does not take these inputs: {error}"[:1024]
        return Unusable(Reason.INVALID_INPUTS, message, waits=True)
    return None


def belongs(execution: Object, namespace: str, trigger: str) -> bool:
    """Whether an Execution is one of this Trigger, by its label."""
    metadata = execution["metadata"]
    label = (metadata.get("labels") or {}).get(TRIGGER_LABEL)
    return bool(metadata["namespace"] == namespace and label == trigger)


def _status(decision: Decision, made: Object | None) -> dict[str, Any]:
    active = {run.name: run.uid for run in decision.active}
    if made is not None and not run_of(made).ended:
        active[made["metadata"]["name"]] = made["metadata"]["uid"]
    newest = list(active.items())[-_SHOWN:]
    times = {
        "lastScheduleTime": decision.last,
        "lastSuccessfulTime": decision.last_success,
        "nextScheduleTime": decision.next,
    }
    said = {key: None if at is None else _stamp(at) for key, at in times.items()}
    return {**said, "active": [{"name": name, "uid": uid} for name, uid in newest] or None}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reference(obj: Object) -> ObjectRef:
    return ObjectRef.of({"apiVersion": TRIGGERS.api_version, "kind": "Trigger", **obj})
