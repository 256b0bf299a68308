"""What ExecutionPolicies say at the moment an attempt is handed out: pods may have been made before them."""

from citadel.core.policy import isolation_required, step_denial
from citadel.core.state import State
from citadel.store.policies import RecentPolicies


class LivePolicies(RecentPolicies):
    """What the policies of each namespace say now."""

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
