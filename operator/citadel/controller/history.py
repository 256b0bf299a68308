"""History limits of Workflows: executions that ended go as objects; the journal keeps them for its own time.

Also whom the beginning and the end of an Execution concerns: the Trigger it is of, and its Workflow's limits.
"""

from collections.abc import Iterator
from contextlib import suppress

from citadel.api.meta import TRIGGER_LABEL
from citadel.api.validate import InvalidObject, parse
from citadel.controller.objects import is_finished, run_of
from citadel.controller.watching import Key
from citadel.controller.wishes import target
from citadel.core.history import surplus
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Conflict, NotFound
from citadel.kube.resources import EXECUTIONS, TRIGGERS, WORKFLOWS, Object


class History:
    """Keeps as many executions of a Workflow as its spec says."""

    def __init__(self, kube: KubeClient, cache: Cache) -> None:
        self._kube, self._cache = kube, cache
        self._seen: dict[str, tuple[bool, Key | None]] = {}
        """Of each Execution by uid: whether it has ended, and the Trigger that it is of."""

    async def reconcile(self, namespace: str, workflow: str) -> None:
        """Deletes the oldest executions of a Workflow beyond its limits."""
        obj = self._cache.get(WORKFLOWS, namespace, workflow)
        if obj is None:
            return
        try:
            spec = parse("Workflow", obj)
        except InvalidObject:
            return
        limits = spec.successful_executions_history_limit, spec.failed_executions_history_limit
        if limits == (None, None):
            return
        ended = (item for item in self._cache.objects(EXECUTIONS) if is_finished(item))
        mine = (item for item in ended if _is_of(item, namespace, workflow))
        for run in surplus([run_of(item) for item in mine], *limits):
            with suppress(NotFound, Conflict):
                await self._kube.delete(EXECUTIONS, run.name, namespace, uid=run.uid)

    def news(self, obj: Object) -> Iterator[Key]:
        """What has to be looked at because an Execution is new, or has ended."""
        metadata, ended = obj["metadata"], is_finished(obj)
        before = self._seen.get(metadata["uid"])
        if before is not None and before[0] == ended:
            return
        namespace, label = metadata["namespace"], (metadata.get("labels") or {}).get(TRIGGER_LABEL)
        trigger = Key("trigger", namespace, label) if label else None
        self._seen[metadata["uid"]] = ended, trigger
        if trigger is not None:
            yield trigger
        if ended and (workflow := target(obj)):
            yield Key("history", namespace, workflow)

    def gone(self, uid: str) -> Iterator[Key]:
        """What has to be looked at because an Execution is there no longer."""
        _, trigger = self._seen.pop(uid, (False, None))
        if trigger is not None:
            yield trigger

    def of_workflow(self, namespace: str, name: str) -> Iterator[Key]:
        """What has to be looked at because a Workflow has changed."""
        yield Key("history", namespace, name)
        for obj in self._cache.objects(TRIGGERS):
            if obj["metadata"]["namespace"] == namespace and target(obj) == name:
                yield Key("trigger", namespace, obj["metadata"]["name"])


def _is_of(execution: Object, namespace: str, workflow: str) -> bool:
    """Whether an Execution is one of a Workflow; those that belong to another Execution go with it."""
    metadata = execution["metadata"]
    owners = metadata.get("ownerReferences") or ()
    owned = any(isinstance(owner, dict) and owner.get("kind") == "Execution" for owner in owners)
    return bool(metadata["namespace"] == namespace and target(execution) == workflow and not owned)
