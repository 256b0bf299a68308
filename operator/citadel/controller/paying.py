"""Who pays for what steps ask of models: the accounts of executions, steps, agents and days."""

from dataclasses import asdict
from typing import Any

from citadel.controller.policies import PoliciesOf
from citadel.core.children import MAX_DEPTH, child_of
from citadel.core.payers import step_accounts
from citadel.core.spending import account_of, day_accounts
from citadel.core.state import State
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import EXECUTIONS, Object
from citadel.render.child import is_of, origin_of
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Journal


class Paying:
    """Finds accounts."""

    def __init__(self, kube: KubeClient, cache: Cache, journal: Journal, policies: PoliciesOf) -> None:
        self._kube, self._cache, self._journal, self._policies = kube, cache, journal, policies

    async def accounts(self, obj: Object, state: State, step: str) -> list[dict[str, Any]]:
        """What pays for a step of an Execution: its budget and those of agents that it is a tool of, the
        execution, those that it is within, and the namespace's day."""
        namespace = obj["metadata"]["namespace"]
        found = list(day_accounts(await self._policies(namespace), namespace))
        here: State | None = state
        while here is not None and len(found) < 10 * MAX_DEPTH:
            found += step_accounts(here, step, namespace)
            assert here.plan is not None
            uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
            workflow = here.created.workflow if here.created is not None else ""
            title = f"the budget of Workflow {workflow} for Execution {name}"
            found.append(account_of(here.plan.workflow.spec.budget, uid, title))
            obj, here, step = await self._around(obj)
        return [asdict(account) for account in found]

    async def _around(self, obj: Object) -> tuple[Object, State | None, str]:
        """The Execution that a step of which wanted this one, and that step; labels alone prove nothing."""
        origin, namespace = origin_of(obj), obj["metadata"]["namespace"]
        if origin is None:
            return obj, None, ""
        try:
            state = await self._journal.read(origin.uid)
        except (ExecutionUnknown, CorruptJournal):
            return obj, None, ""
        child = child_of(state, origin.step)
        if child is None or state.created is None or not is_of(obj, origin.uid, child):
            return obj, None, ""
        name = state.created.name
        try:
            found = self._cache.get(EXECUTIONS, namespace, name) or await self._kube.get(
                EXECUTIONS, name, namespace
            )
        except NotFound:
            return obj, None, ""
        return (found, state, origin.step) if found["metadata"]["uid"] == origin.uid else (obj, None, "")
