"""Running an Execution again: what the new one gets of the one that it names. Starts nothing by itself."""

from dataclasses import dataclass, field
from typing import Any

from citadel.api.execution import ExecutionSpec, RerunOf
from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.controller.definitions import Definitions, Pinned
from citadel.controller.objects import parse_time
from citadel.core.jsonvalues import Json
from citadel.core.reruns import CannotRerun, Taken, take_over
from citadel.core.state import State
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import EXECUTIONS, NAMESPACES
from citadel.store.blobs import Blobs
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Inherited, Journal, json_of


@dataclass(frozen=True)
class Start:
    """What an execution begins with: definition and inputs, and what it takes over."""

    pinned: Pinned
    inputs: dict[str, Json]
    taken: Taken = field(default_factory=Taken)
    rerun_of: str | None = None
    inherited: Inherited | None = None


class Reruns:
    """Finds what there is of executions that are to run again."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        definitions: Definitions,
        blobs: Blobs,
    ) -> None:
        self._kube, self._cache, self._journal = kube, cache, journal
        self._definitions, self._blobs = definitions, blobs

    async def start(self, namespace: str, spec: ExecutionSpec, rerun: RerunOf) -> Start:
        """What a rerun begins with; raises Unusable and InvalidInputs."""
        old = await self._ended(namespace, spec.workflow_ref.name, rerun)
        assert old.created is not None
        before: Any = await json_of(self._journal, old.created.uid, old.created.inputs)
        pinned = await self._pinned(old, rerun)
        inputs = pinned.plan.workflow.inputs.apply({**before, **spec.inputs})
        taken = Taken()
        if rerun.failed or rerun.from_step is not None:
            taken = await self._taken(old, pinned, rerun, inputs == before)
        inherited = Inherited(old.created.uid, taken.digests)
        return Start(pinned, inputs, taken, rerun.name, inherited if taken.digests else None)

    async def _ended(self, namespace: str, workflow: str, rerun: RerunOf) -> State:
        """The execution that is meant, by all that is known of it."""
        uid = rerun.uid or await self._uid(namespace, rerun)
        try:
            state = await self._journal.read(uid)
        except ExecutionUnknown:
            raise _refused(rerun, "is not in the journal any more") from None
        except CorruptJournal as error:
            raise _refused(rerun, f"cannot be read from the journal: {error.why}") from None
        start = state.created or state.rejected
        assert start is not None
        # What ran in a namespace that was deleted is not of the one that has its name now.
        since = self._since(namespace)
        if (start.namespace, start.name) != (namespace, rerun.name) or state.created_at < since:
            raise _refused(rerun, f"of uid {uid} does not exist in namespace {namespace}")
        if start.workflow != workflow:
            raise _refused(rerun, f"is one of Workflow {start.workflow}, found workflowRef.name {workflow}")
        if state.created is None:
            raise _refused(rerun, "was never begun, so there is nothing to run again; create a new one")
        if state.finished is None:
            raise _refused(rerun, "has not ended")
        return state

    async def _uid(self, namespace: str, rerun: RerunOf) -> str:
        try:
            found = await self._kube.get(EXECUTIONS, rerun.name, namespace)
        except NotFound:
            why = f"does not exist in namespace {namespace}; one of the archive is named by its uid, too"
            raise _refused(rerun, why) from None
        return str(found["metadata"]["uid"])

    def _since(self, namespace: str) -> float:
        found = self._cache.get(NAMESPACES, "", namespace)
        return 0.0 if found is None else parse_time(found["metadata"]["creationTimestamp"])

    async def _pinned(self, old: State, rerun: RerunOf) -> Pinned:
        assert old.created is not None
        created = old.created
        if rerun.definition == "current":
            return await self._definitions.pin(created.namespace, created.workflow)
        return await self._definitions.pin_revision(created.namespace, created.workflow, created.definition)

    async def _taken(self, old: State, pinned: Pinned, rerun: RerunOf, same_inputs: bool) -> Taken:
        """What is taken over, without what is known but not kept: the files that a step left may be gone."""
        assert old.created is not None

        def search(without: frozenset[str]) -> Taken:
            try:
                return take_over(old, pinned.plan, rerun.from_step, same_inputs=same_inputs, without=without)
            except CannotRerun as error:
                raise _refused(rerun, f"cannot run again from there: {error}") from None

        taken = search(frozenset())
        held: dict[str, bool] = {}
        for _, content in taken.contents:
            if content.digest not in held:
                # Kept for a day from now on, then by the rows of the steps that recall it.
                held[content.digest] = await self._blobs.hold(old.created.namespace, content.digest)
        lost = frozenset(name for name, content in taken.contents if not held[content.digest])
        return search(lost) if lost else taken


def _refused(rerun: RerunOf, why: str) -> Unusable:
    return Unusable(Reason.CANNOT_RERUN, f"rerunOf: Execution {rerun.name} {why}", waits=False)
