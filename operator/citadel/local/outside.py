"""What an execution on this machine has around it: sandboxes, a clock, and whoever answers where it waits."""

from collections.abc import Mapping

from citadel.core import events as ev
from citadel.core.children import Child
from citadel.core.jsonvalues import Json
from citadel.core.models import Wanted
from citadel.core.placing import Placement
from citadel.core.state import State, awaits_answer, position
from citadel.core.tools import WantedTool
from citadel.core.values import Values
from citadel.local.clocks import Clock
from citadel.local.machine import Machine
from citadel.local.sandboxes import Sandbox


class Outside:
    """Child processes and containers of this machine, its time, and nobody who answers."""

    def __init__(self, clock: Clock | None = None, machine: Machine | None = None) -> None:
        self.clock = clock or Clock()
        self.machine = machine or Machine()

    def within(self, step: str) -> "Outside":
        """The same for the execution that a step runs."""
        return self

    def sandbox(self, placement: Placement) -> Sandbox:
        """A sandbox of a placement, not yet started."""
        return self.machine.sandbox(placement)

    async def instead(self, child: Child, values: Values) -> ev.ChildFinished | None:
        """The end of an execution that a step wants, if it is not to run; `values` takes its outputs."""
        return None

    async def asked(self, call: Wanted, values: Values) -> ev.ModelAnswered | None:
        """What a model answers, if none is to be asked; `values` takes it."""
        return None

    async def used(
        self, use: WantedTool, arguments: Mapping[str, Json], values: Values
    ) -> ev.ToolAnswered | None:
        """What a tool gives, if none is to be called; `values` takes it."""
        return None

    async def answer(self, state: State, step: str, values: Values) -> ev.Event | None:
        """What comes from outside for a step that waits for people or a signal; None if nothing does."""
        return None


def asking(state: State) -> list[str]:
    """The steps that wait for people or a signal and have no answer yet, in the order of their definition."""
    plan = state.plan
    if plan is None or state.finished is not None:
        return []

    def asks(name: str) -> bool:
        step, spec = state.steps[name], plan.step(name).spec
        from_outside = spec.approval is not None or (spec.wait is not None and spec.wait.signal is not None)
        return from_outside and awaits_answer(step)

    return sorted(filter(asks, state.active), key=lambda name: position(plan, name))
