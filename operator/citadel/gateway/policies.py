"""What ExecutionPolicies say at the moment an attempt is handed out: pods may have been made before them."""

import time
from collections import OrderedDict

from citadel.core.policy import Policy, isolation_required, read_policy, step_denial
from citadel.core.state import State
from citadel.store.journal import PolicyTable

#: Seconds for which the policies of a namespace are taken to be unchanged.
FRESH_SECONDS = 1.0
_NAMESPACES = 10_000


class LivePolicies:
    """The policies of each namespace, read again each second while they are asked for."""

    def __init__(self, table: PolicyTable) -> None:
        self._table = table
        self._known: OrderedDict[str, tuple[float, tuple[Policy, ...]]] = OrderedDict()

    async def of(self, namespace: str) -> tuple[Policy, ...]:
        """The policies of a namespace; raises JournalUnavailable."""
        at, found = self._known.get(namespace, (float("-inf"), ()))
        if time.monotonic() - at > FRESH_SECONDS:
            found = tuple(read_policy(obj) for obj in await self._table.get(namespace))
            self._known[namespace] = time.monotonic(), found
            self._known.move_to_end(namespace)
            while len(self._known) > _NAMESPACES:
                self._known.popitem(last=False)
        return found

    async def isolation_required(self, namespace: str) -> bool:
        """Whether sandboxes get work only once their isolation is proven."""
        return isolation_required(await self.of(namespace))

    async def denial(self, state: State, step: str) -> str | None:
        """Why this step may not run now; None if it may."""
        assert state.plan is not None
        assert state.created is not None
        namespace, place = state.created.namespace, state.plan.placement(step)
        policies = await self.of(namespace)
        timeout = state.plan.step(step).spec.timeout
        return step_denial(policies, namespace, place.template, place.asked, timeout)
