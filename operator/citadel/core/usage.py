"""What models took in all, by the ledger: of agents that are under way, and of calls that were cut off, no
event of the log says it."""

from collections.abc import Awaitable, Callable, Mapping

from citadel.api.reasons import StepStatus
from citadel.core.copying import replace
from citadel.core.events import Usage
from citadel.core.spending import add
from citadel.core.state import State

#: What was taken in an execution, of its uid, by step.
UsageOf = Callable[[str], Awaitable[Mapping[str, Usage]]]


def in_ledger(state: State) -> bool:
    """Whether the ledger alone knows what models took: agents that ask, and calls cut off by the end."""
    plan = state.plan
    if plan is None:
        return False
    if plan.agents or state.finished is None:
        return bool(plan.agents)
    ended = (name for name, step in state.steps.items() if step.status is StepStatus.CANCELLED)
    return any(plan.step(name).spec.llm is not None for name in ended)


async def spent(state: State, uid: str, usage: UsageOf | None) -> State:
    """The state, with what was taken in it where the ledger alone knows that."""
    return with_usage(state, await usage(uid)) if usage is not None and in_ledger(state) else state


def with_usage(state: State, found: Mapping[str, Usage]) -> State:
    """The state, as the ledger has it."""
    steps, total = state.steps.mutate(), None
    for name in sorted(found):
        total = add(total, found[name])
        if name in steps:
            steps[name] = replace(steps[name], usage=found[name])
    return replace(state, steps=steps.finish(), usage=total)
