"""One execution on this machine: what controller, gateway and sandboxes are to a cluster, in one event loop.

The journal decides; this only does what its state says: a usable sandbox runs, any other is ended.
"""

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.children import Child, wanted
from citadel.core.decide import wake_at
from citadel.core.jsonvalues import Json
from citadel.core.models import wanted as calls_wanted
from citadel.core.payers import step_accounts
from citadel.core.spending import Account, account_of
from citadel.core.state import State
from citadel.core.tools import wanted as tools_wanted
from citadel.core.values import Value, Values
from citadel.local.asking import Asking
from citadel.local.clocks import Bell
from citadel.local.documents import Contents
from citadel.local.execution import Observer
from citadel.local.means import Means
from citadel.local.outside import Outside, asking
from citadel.local.serving import Serving
from citadel.local.start import Start
from citadel.local.turns import Neighbours
from citadel.local.within import Inner, Within
from citadel.store.journal import Advance, Journal, json_of


class LocalRun:
    """One execution, from its creation to its end."""

    def __init__(
        self,
        journal: Journal,
        observer: Observer,
        contents: Contents,
        chain: Sequence[str],
        means: Means,
        outside: Outside | None = None,
        neighbours: Neighbours | None = None,
        paying: tuple[Account, ...] = (),
        archives: Path | None = None,
    ) -> None:
        """`contents` has what its steps refer to; `chain` the workflows around it and its own. `paying` are
        the accounts of the executions around it, who share its `means`.

        `archives` is a folder that keeps artifacts and programs as long as the journal is kept; without one
        they end with the execution.
        """
        self.journal, self._observer, self._chain = journal, observer, chain

        def within(child: Child, chain: tuple[str, ...]) -> LocalRun:
            inner = Inner(observer, child.step)
            outside, neighbours = self._outside.within(child.step), self._neighbours.within(self.uid)
            paying = (*self._paying, self._account())
            return LocalRun(
                journal, inner, contents, chain, means, outside, neighbours, paying, self._archives
            )

        self._paying = paying
        self._outside = outside or Outside()
        self.clock = self._outside.clock
        self._neighbours = neighbours or Neighbours()
        self._within = Within(journal, contents, chain, self._outside.machine.tools, within)
        self.uid = ""
        self._state = State()
        self._looked_at = 0.0
        """Until when all that follows from the state by time has been decided."""
        self.changed = Bell()
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()
        """Steps for which somebody was asked."""
        self._passing = None if archives else tempfile.TemporaryDirectory(prefix="citadel-artifacts-")
        self._archives = archives or Path(self._passing.name if self._passing else "")
        self._sandboxes = Serving(self, observer, contents, means, self._outside, self._archives)
        self._others = Asking(self, means, self._outside)
        self._defect: BaseException | None = None

    async def run(self, start: Start) -> State:
        """Runs it to its end."""
        self.uid = start.created.uid
        try:
            created = self._neighbours.placed(start.created)
            await self.advance([created], definition=start.definition, outputs=start.outputs)
            await self._neighbours.entered(self.uid, self)
            while self._state.finished is None:
                if self._defect is not None:
                    raise self._defect
                self._reconcile()
                await self._pause()
            await self._neighbours.left(self.uid)
            return self._state
        finally:
            for task in self._serving.values():
                task.cancel()
            await asyncio.gather(*self._serving.values(), return_exceptions=True)
            if self._passing is not None:
                self._passing.cleanup()

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    async def ask(self) -> None:
        """Looks whether anything follows by now."""
        await self.advance()

    async def stop(self, mode: str, reason: str, message: str) -> None:
        """Asks for its end: `Cancel` with a grace period, `Terminate` at once."""
        while not self._state.known:
            await self.clock.wait(self.changed)
        if self._state.finished is None:
            await self.advance([ev.StopRequested(mode, reason, message)])

    # ---- the journal

    async def advance(self, facts: Sequence[ev.Event] = (), **more: Any) -> Advance:
        begin = self.clock.time()
        advance = await self.journal.advance(self.uid, facts, **more)
        if advance.state.seq >= self._state.seq:
            self._looked_at = max(self._looked_at, begin)
        if advance.state.seq > self._state.seq:
            self._state = advance.state
            self._observer.changed(self._state)
            if self._state.stopping:
                self._sandboxes.cancel()
        self._wake()
        return advance

    def _wake(self) -> None:
        """Everyone who waits for a change looks again."""
        self.changed.ring()

    async def _pause(self) -> None:
        """Waits for a change, or until something follows from time alone."""
        # Not from now on: a short pause may have passed since anybody looked.
        if not await self.clock.wait(self.changed, wake_at(self._state, self._looked_at)):
            # An attempt whose pause is over is no event: those who wait for work look again all the same.
            await self.advance()

    # ---- sandboxes

    def _reconcile(self) -> None:
        for name, sandbox in self._state.sandboxes.items():
            if sandbox.usable and name not in self._serving:
                self._spawn(name, self._sandboxes.serve(name))
        self._sandboxes.let_go()
        for child in list(wanted(self._state)):
            if child.name not in self._serving:
                self._spawn(child.name, self._serve_child(child))
        calls = {f"call {call.step} {call.attempt}": call for call in calls_wanted(self._state)}
        uses = {f"tool {use.step} {use.attempt}": use for use in tools_wanted(self._state)}
        for name, call in calls.items():
            if name not in self._serving:
                self._spawn(name, self._others.call(name, call))
        for name, use in uses.items():
            if name not in self._serving:
                self._spawn(name, self._others.use(name, use))
        self._others.give_up(but=() if self._state.stopping else calls.keys() | uses.keys())
        self._ask_about(asking(self._state))
        for run in list(self._within.to_stop(self._state)):
            why = "the step that wanted it waits no longer"
            self._spawn(f"stop {id(run)}", run.stop("Cancel", Reason.CANCELLED, why))

    def _ask_about(self, steps: Sequence[str]) -> None:
        """Asks once for each of these steps that wait, and no longer for others."""
        for step in steps:
            if step not in self._asked:
                self._spawn(f"ask {step}", self._others.ask(step))
        for step in self._asked.difference(steps):
            self._serving[f"ask {step}"].cancel()
        self._asked.update(steps)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.clock.begin()
        self._serving[name] = asyncio.create_task(work)
        self._serving[name].add_done_callback(self._served)

    async def _serve_child(self, child: Child) -> None:
        """The life of an execution that a step wants."""
        values = Values()
        fact: ev.Event | None = await self._outside.instead(child, values)
        if fact is None:
            fact, values = await self._within.serve(self.uid, child, lambda: self._state)
        await self.advance([fact], outputs=values.made)

    def _account(self) -> Account:
        """Who pays for the models that all its steps ask."""
        assert self._state.plan is not None
        title = f"the budget of Workflow {self._chain[-1]}"
        return account_of(self._state.plan.workflow.spec.budget, self.uid, title)

    def accounts(self, step: str) -> tuple[Account, ...]:
        """Who pays for the models that a step asks: also the executions around."""
        return (*self._paying, self._account(), *step_accounts(self._state, step, "local"))

    def _served(self, task: asyncio.Task[None]) -> None:
        """What no sandbox accounts for is a defect, and must not become a wait for ever."""
        if not task.cancelled() and task.exception() is not None:
            self._defect = self._defect or task.exception()
        self._wake()
        self.clock.end()

    async def record(self, fact: ev.Event, values: Values) -> None:
        """Records a fact."""
        await self.advance([fact], outputs=values.made)

    async def value(self, value: Value) -> Json:
        """What a value of the execution is."""
        return await json_of(self.journal, self.uid, value)
