"""Whether a Workflow, Runtime or ExecutionPolicy can be used: its conditions Ready and Stalled."""

from collections.abc import Awaitable, Callable
from typing import Any

from citadel.api.conditions import Condition, merge
from citadel.api.reasons import ConditionType, Reason
from citadel.api.runtime import RuntimeSpec
from citadel.api.step import Step
from citadel.api.workflow import WorkflowSpec
from citadel.controller.board import Board, Report
from citadel.controller.checking import Unusable, checked, read_runtime, runtime_names
from citadel.controller.definitions import Definitions
from citadel.controller.installs import Outcome
from citadel.controller.objects import not_ready, read_conditions, status_of
from citadel.core.policy import read_policy, runtime_denial
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Conflict, NotFound
from citadel.kube.events import EventPoster, ObjectRef
from citadel.kube.resources import (
    AGENTS,
    MODELS,
    POLICIES,
    RUNTIMES,
    TOOLS,
    WORKFLOWS,
    Object,
    Resource,
)
from citadel.render.status import timestamp

#: Seconds after which a missing reference is looked for again, should its watch have missed it.
RECHECK = 30.0


class Readiness:
    """Reconciles the status of definitions."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        definitions: Definitions,
        events: EventPoster,
        now: Callable[[], float],
        packages: Callable[[Object, RuntimeSpec], Awaitable[Outcome]],
        board: Board,
    ) -> None:
        self._kube, self._cache, self._definitions = kube, cache, definitions
        self._packages, self._board = packages, board
        self._events, self._now = events, now

    async def workflow(self, namespace: str, name: str) -> float | None:
        """One Workflow; returns seconds after which to look again."""
        obj = self._cache.get(WORKFLOWS, namespace, name)
        if obj is None:
            return None
        try:
            spec = checked(obj)
            # Nobody looks again soon: what is missing may have appeared a moment ago.
            runtimes = {
                runtime: await self._definitions.runtime(namespace, runtime, fresh=True)
                for runtime in runtime_names(spec)
            }
            packages = await self._definitions.packages(obj, spec, runtimes)
            await self._definitions.permitted(namespace, obj, runtimes, packages.index)
            self._check_models(namespace, name, spec)
            if (await self._definitions.used(namespace, spec)).document:
                await self._definitions.pin(namespace, name)
            self._check_used(namespace, name, spec)
        except Unusable as problem:
            await self.write(WORKFLOWS, obj, problem)
            return RECHECK if problem.waits else None
        await self.write(WORKFLOWS, obj, None)
        return None

    def _check_models(self, namespace: str, workflow: str, spec: WorkflowSpec) -> None:
        """Raises Unusable for the first step that asks a Model which there is not."""
        shared = self._definitions.home("")
        for path, step in spec.every_step():
            model = step.llm.model if isinstance(step, Step) and step.llm is not None else None
            if model and not any(self._cache.get(MODELS, here, model) for here in (namespace, shared)):
                where = f"Model {model} exists neither in namespace {namespace} nor in {shared}"
                raise Unusable(
                    Reason.MODEL_NOT_FOUND, f"Workflow {workflow}, step {path}: {where}", waits=True
                )

    def _check_used(self, namespace: str, workflow: str, spec: WorkflowSpec) -> None:
        """Raises Unusable for the first step whose Agent or Tool is there, and not ready."""
        shared = self._definitions.home("")
        for path, step in spec.every_step():
            if not isinstance(step, Step) or (named := step.agent or step.tool) is None:
                continue
            kind, resource = ("Agent", AGENTS) if step.agent is not None else ("Tool", TOOLS)
            objects = (self._cache.get(resource, here, named.name) for here in (namespace, shared))
            obj = next((found for found in objects if found is not None), None)
            if obj is not None and (problem := not_ready(obj, kind)) is not None:
                message = f"Workflow {workflow}, step {path}: {problem.message}"
                raise Unusable(problem.reason, message[:2048], waits=True)

    async def runtime(self, namespace: str, name: str) -> float | None:
        """One Runtime."""
        obj = self._cache.get(RUNTIMES, namespace, name)
        if obj is None:
            return None
        report = self._board.reports.get((namespace, name), Report())
        problem, packages = report.problem, Outcome()
        try:
            spec = read_runtime(obj)
            shared = self._definitions.is_shared(obj)
            # A shared one serves every namespace; what each of them permits, its workflows tell.
            policies = () if shared else await self._definitions.policies(namespace)
            denial = runtime_denial(policies, spec, shared=shared)
            if denial is not None:
                problem = Unusable(Reason.POLICY_DENIED, f"Runtime {name}: {denial.text}"[:1024], waits=True)
        except Unusable as unusable:
            problem = unusable
        else:
            packages = await self._packages(obj, spec)
            if problem is None and packages.problem is not None:
                problem = Unusable(packages.problem.reason, packages.problem.message, waits=True)
        made = packages.installed
        fields: dict[str, Any] = {"packages": made.model_dump(mode="json", by_alias=True) if made else None}
        if report.size is not None:
            fields["pool"] = {"ready": report.size.ready, "wanted": report.size.wanted}
        elif self._board.complete:
            fields["pool"] = None
        await self.write(RUNTIMES, obj, problem, **fields)
        return packages.again

    async def policy(self, name: str) -> float | None:
        """One ExecutionPolicy."""
        obj = self._cache.get(POLICIES, "", name)
        if obj is None:
            return None
        broken = read_policy(obj).broken
        problem = Unusable(Reason.INVALID_SPEC, broken[:1024], waits=False) if broken else None
        await self.write(POLICIES, obj, problem)
        return None

    async def write(self, resource: Resource, obj: Object, problem: Unusable | None, **fields: Any) -> None:
        """Writes conditions and other fields of the status where they differ; None removes a field."""
        metadata, status = obj["metadata"], status_of(obj)
        generation = metadata.get("generation", 0)
        before = read_conditions(obj)
        wanted = merge(before, conditions(problem, generation, timestamp(self._now())))
        changed = {
            "observedGeneration": generation,
            "conditions": [item.model_dump(mode="json", by_alias=True) for item in wanted],
            **fields,
        }
        if {key: status.get(key) for key in changed} == changed:
            return
        try:
            written = await self._kube.patch_status(
                resource, metadata["name"], changed, metadata.get("namespace"), uid=metadata["uid"]
            )
        except (NotFound, Conflict):
            return
        self._cache.put(resource, written)
        if changed["conditions"] == status.get("conditions"):
            return
        if problem is not None and problem.reason == Reason.INSTALLING_PACKAGES:
            self._events.normal(ObjectRef.of(obj), problem.reason, problem.message)
        elif problem is not None:
            self._events.warning(ObjectRef.of(obj), problem.reason, problem.message)


def conditions(problem: Unusable | None, generation: int, at: str) -> tuple[Condition, ...]:
    """Ready, and Stalled where only an edit can help."""
    ready = "True" if problem is None else "False"
    reason = Reason.VALID if problem is None else problem.reason
    message = "" if problem is None else problem.message
    stalled = "True" if problem is not None and not problem.waits else "False"
    return tuple(
        Condition.model_validate(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message[:2048],
                "lastTransitionTime": at,
                "observedGeneration": generation,
            }
        )
        for kind, status in ((ConditionType.READY, ready), (ConditionType.STALLED, stalled))
    )
