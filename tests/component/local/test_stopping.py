"""A run on this machine that is stopped while a sandbox is on its way: what runs has its time to end."""

import asyncio
from collections.abc import Mapping
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core.dispatch import Dispatch
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.local.documents import read
from citadel.local.means import in_memory
from citadel.local.outside import Outside
from citadel.local.runner import LocalRun
from citadel.local.start import prepare
from citadel.store.memory import MemoryJournal

FLOW = """
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - {name: a, run: {runtime: python, code: "def main(): ..."}}
  - {name: b, needs: [], run: {runtime: python, code: "def main(): ..."}}
"""


class Quiet:
    """Tells nobody."""

    def changed(self, state: State) -> None: ...

    def within(self, step: str, state: State) -> None: ...

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None: ...


class Fake:
    """A sandbox whose attempt ends a moment after it is told to; the second one that starts stops the run."""

    spent = False

    def __init__(self, world: "World") -> None:
        self._world = world
        self._told = asyncio.Event()

    async def start(self) -> None:
        self._world.started += 1
        if self._world.started == 2:
            assert self._world.run is not None
            await self._world.run.stop("Cancel", "Cancelled", "somebody wants it to end")

    async def run(self, given: Dispatch, arguments: Mapping[str, Json], *more: Any) -> Json:
        await self._told.wait()
        await asyncio.sleep(0.1)
        return "in time"

    def cancel(self, grace: float) -> None:
        self._told.set()

    def close(self) -> None: ...


class World(Outside):
    """Makes such sandboxes."""

    def __init__(self) -> None:
        super().__init__()
        self.started = 0
        self.run: LocalRun | None = None

    def sandbox(self, placement: object) -> Any:
        return Fake(self)


async def test_what_runs_ends_by_itself_though_a_sandbox_comes_that_gets_nothing_any_more() -> None:
    contents, journal, world = read(FLOW), MemoryJournal(), World()
    world.run = LocalRun(journal, Quiet(), contents, ("flow",), in_memory(journal, contents), world)
    state = await world.run.run(prepare(contents, {}))
    assert world.started == 2
    assert state.finished is not None
    assert state.finished.phase == "Cancelled"
    assert state.steps["a"].status is StepStatus.SUCCEEDED
    assert state.steps["b"].status is StepStatus.CANCELLED
