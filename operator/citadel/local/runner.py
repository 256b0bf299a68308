"""One execution on this machine: what controller, gateway and sandboxes are to a cluster, in one event loop.

The journal decides; this only does what its state says: a usable sandbox runs, any other is ended.
"""

import asyncio
import datetime
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.children import Child, wanted
from citadel.core.closing import CANCEL_GRACE
from citadel.core.decide import wake_at
from citadel.core.dispatch import Dispatch, dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.models import Wanted
from citadel.core.models import failed as call_failed
from citadel.core.models import wanted as calls_wanted
from citadel.core.payers import step_accounts
from citadel.core.placing import Placement
from citadel.core.sessions import assign, failure_of
from citadel.core.spending import Account, account_of
from citadel.core.state import State
from citadel.core.tools import WantedTool
from citadel.core.tools import failed as tool_failed
from citadel.core.tools import wanted as tools_wanted
from citadel.core.values import Content, Value, Values
from citadel.local.artifacts import Parcels
from citadel.local.capture import Output
from citadel.local.clocks import Bell
from citadel.local.documents import Contents
from citadel.local.means import Means
from citadel.local.outside import Outside, asking
from citadel.local.sandboxes import Sandbox, SandboxEnded
from citadel.local.start import Start
from citadel.local.turns import Neighbours
from citadel.local.within import Inner, Within
from citadel.store.journal import Advance, Journal, LogChunk, arguments_of, json_of

if TYPE_CHECKING:
    from citadel.local.agents import Attending


class Observer(Protocol):
    """Whoever watches an execution."""

    def changed(self, state: State) -> None:
        """The state is another."""
        ...

    def within(self, step: str, state: State) -> None:
        """That of an execution which a step waits for is another; `bill/charge` is one of `bill`'s."""
        ...

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """A step printed a line."""
        ...


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
        self._journal, self._observer, self._references = journal, observer, contents.data
        self._chain = chain

        def within(child: Child, chain: tuple[str, ...]) -> LocalRun:
            inner = Inner(observer, child.step)
            outside, neighbours = self._outside.within(child.step), self._neighbours.within(self._uid)
            paying = (*self._paying, self._account())
            return LocalRun(
                journal, inner, contents, chain, means, outside, neighbours, paying, self._archives
            )

        self._means = means
        self._paying = paying
        self._outside = outside or Outside()
        self.clock = self._outside.clock
        self._neighbours = neighbours or Neighbours()
        self._within = Within(journal, contents, chain, self._outside.machine.tools, within)
        self._uid = ""
        self._state = State()
        self._looked_at = 0.0
        """Until when all that follows from the state by time has been decided."""
        self.changed = Bell()
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._calls: dict[str, asyncio.Task[Any]] = {}
        """Models and tools that are being asked."""
        self._asked: set[str] = set()
        """Steps for which somebody was asked."""
        self._logs: dict[tuple[str, int], list[LogChunk]] = {}
        self._passing = None if archives else tempfile.TemporaryDirectory(prefix="citadel-artifacts-")
        self._archives = archives or Path(self._passing.name if self._passing else "")
        self._defect: BaseException | None = None

    async def run(self, start: Start) -> State:
        """Runs it to its end."""
        self._uid = start.created.uid
        try:
            created = self._neighbours.placed(start.created)
            await self._advance([created], definition=start.definition, outputs=start.outputs)
            await self._neighbours.entered(self._uid, self)
            while self._state.finished is None:
                if self._defect is not None:
                    raise self._defect
                self._reconcile()
                await self._pause()
            await self._neighbours.left(self._uid)
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
        await self._advance()

    async def stop(self, mode: str, reason: str, message: str) -> None:
        """Asks for its end: `Cancel` with a grace period, `Terminate` at once."""
        while not self._state.known:
            await self.clock.wait(self.changed)
        if self._state.finished is None:
            await self._advance([ev.StopRequested(mode, reason, message)])

    # ---- the journal

    async def _advance(self, facts: Sequence[ev.Event] = (), **more: Any) -> Advance:
        begin = self.clock.time()
        advance = await self._journal.advance(self._uid, facts, **more)
        if advance.state.seq >= self._state.seq:
            self._looked_at = max(self._looked_at, begin)
        if advance.state.seq > self._state.seq:
            self._state = advance.state
            self._observer.changed(self._state)
            if self._state.stopping:
                for sandbox in self._sandboxes.values():
                    sandbox.cancel(CANCEL_GRACE)
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
            await self._advance()

    # ---- sandboxes

    def _reconcile(self) -> None:
        for name, sandbox in self._state.sandboxes.items():
            if sandbox.usable and name not in self._serving:
                self._spawn(name, self._serve(name))
        for name, running in self._sandboxes.items():
            if not self._state.sandboxes[name].usable:
                running.cancel(CANCEL_GRACE)
        for child in list(wanted(self._state)):
            if child.name not in self._serving:
                self._spawn(child.name, self._serve_child(child))
        calls = {f"call {call.step} {call.attempt}": call for call in calls_wanted(self._state)}
        uses = {f"tool {use.step} {use.attempt}": use for use in tools_wanted(self._state)}
        for name, call in calls.items():
            if name not in self._serving:
                self._spawn(name, self._call(name, call))
        for name, use in uses.items():
            if name not in self._serving:
                self._spawn(name, self._use(name, use))
        for name, asked in self._calls.items():
            if self._state.stopping or name not in calls.keys() | uses.keys():
                asked.cancel()
        self._ask_about(asking(self._state))
        for run in list(self._within.to_stop(self._state)):
            why = "the step that wanted it waits no longer"
            self._spawn(f"stop {id(run)}", run.stop("Cancel", Reason.CANCELLED, why))

    def _ask_about(self, steps: Sequence[str]) -> None:
        """Asks once for each of these steps that wait, and no longer for others."""
        for step in steps:
            if step not in self._asked:
                self._spawn(f"ask {step}", self._ask(step))
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
            fact, values = await self._within.serve(self._uid, child, lambda: self._state)
        await self._advance([fact], outputs=values.made)

    async def _ask(self, step: str) -> None:
        """Takes what comes from outside for a step that waits for people or a signal."""
        values = Values()
        fact = await self._outside.answer(self._state, step, values)
        if fact is not None:
            await self._advance([fact], outputs=values.made)

    def _account(self) -> Account:
        """Who pays for the models that its steps ask."""
        assert self._state.plan is not None
        title = f"the budget of Workflow {self._chain[-1]}"
        return account_of(self._state.plan.workflow.spec.budget, self._uid, title)

    def _accounts(self, step: str) -> tuple[Account, ...]:
        """The same for a step: also that of its own, and of the executions around."""
        return (*self._paying, self._account(), *step_accounts(self._state, step, "local"))

    async def _call(self, name: str, call: Wanted) -> None:
        """Asks a model, until nobody waits for the answer any more."""
        given = Values()
        told = await self._outside.asked(call, given)
        if told is not None:
            await self._advance([told], outputs=given.made)
            return
        models, accounts = self._means.models, self._accounts(call.step)
        asked = asyncio.create_task(models.answer(self._uid, call, accounts, self._left(call.until)))
        self._calls[name] = asked
        try:
            await asyncio.wait((asked,))
            if asked.cancelled():
                usage = await models.usage(self._uid, call, accounts)
                await self._advance([call_failed(call, Reason.CANCELLED, "cancelled", usage)])
                return
            fact, values = asked.result()
            await self._advance([fact], outputs=values.made)
        finally:
            asked.cancel()
            del self._calls[name]

    async def _use(self, name: str, use: WantedTool) -> None:
        """Calls a tool, until nobody waits for it any more."""
        arguments = await arguments_of(self._journal, self._uid, use.payload)
        values = Values()
        fact = await self._outside.used(use, arguments, values)
        if fact is None:
            servers, left = self._means.servers, self._left(use.until)
            asked = self._calls[name] = asyncio.create_task(servers.call(self._uid, use, arguments, left))
            try:
                await asyncio.wait((asked,))
            finally:
                asked.cancel()
                del self._calls[name]
            if asked.cancelled():
                fact = tool_failed(use, Reason.CANCELLED, "cancelled")
            elif isinstance(found := asked.result(), Failure):
                fact = ev.ToolAnswered(use.step, use.attempt, None, found)
            else:
                fact = ev.ToolAnswered(use.step, use.attempt, values.put(found))
        await self._advance([fact], outputs=values.made)

    def _left(self, until: float | None) -> float | None:
        """Seconds that are left until then."""
        return None if until is None else max(0.0, until - self.clock.time())

    def _served(self, task: asyncio.Task[None]) -> None:
        """What no sandbox accounts for is a defect, and must not become a wait for ever."""
        if not task.cancelled() and task.exception() is not None:
            self._defect = self._defect or task.exception()
        self._wake()
        self.clock.end()

    async def _serve(self, name: str) -> None:
        """The life of one sandbox."""
        sandbox = self._sandboxes[name] = self._outside.sandbox(self._placement(name))
        try:
            await sandbox.start()
            advance = await self._advance([ev.SandboxRegistered(name)], claim=name)
            while self._state.finished is None and self._state.sandboxes[name].usable:
                if advance.step is None:
                    await self._work_for(name)
                    advance = await self._advance(claim=name)
                else:
                    given = dispatch(advance.state, advance.step, advance.values)
                    advance = await self._attempt(name, sandbox, given)
        except SandboxEnded as error:
            await self._advance([failure_of(name, None, str(error))])
        except OSError as error:
            await self._advance([failure_of(name, Reason.SANDBOX_START_FAILED, str(error))])
        finally:
            del self._sandboxes[name]
            sandbox.close()

    def _placement(self, name: str) -> Placement:
        """What a sandbox is to be made of."""
        assert self._state.plan is not None
        key = self._state.sandboxes[name].placement
        return next(found for found in self._state.plan.placements.values() if found.key == key)

    async def _work_for(self, name: str) -> None:
        """Waits until there may be work for an idle sandbox, or no more use of it."""
        while self._state.finished is None and self._state.sandboxes[name].usable:
            if assign(self._state, name, self.clock.time()) is not None:
                return
            await self.clock.wait(self.changed)

    async def _attempt(self, name: str, sandbox: Sandbox, given: Dispatch) -> Advance:
        """Runs an attempt and records its end; what the sandbox has to do next."""
        arguments, files = dict(given.arguments), dict(given.files)
        secrets = []
        for argument, reference in given.references.items():
            text = self._references[reference.kind, reference.name][reference.key]
            if argument.startswith("/"):
                files[argument] = text
            else:
                arguments[argument] = text
            secrets += [text] if reference.secret else []
        if given.references:
            await self._advance([ev.Delivered(given.step, given.attempt, given.placing)])
        output = Output(lambda stream, line: self._log(given, stream, line), secrets)
        agent = self._attending(given, name)
        if agent is not None:
            arguments = await agent.begin()
        try:
            parcels = Parcels(self._archives, given, files)
            result = await sandbox.run(given, arguments, parcels, output, agent)
        except SandboxEnded as error:
            failure = Failure.cut(Reason.ERROR, str(error), log_tail=output.tail)
            await self._keep_logs(given)
            usage = None if agent is None else await agent.end()
            await self._advance([ev.AttemptFailed(given.step, given.attempt, name, failure, usage)])
            raise
        await self._keep_logs(given)
        usage = None if agent is None else await agent.end()
        values = Values()
        fact = _end(name, given, result, parcels.kept, usage, values)
        return await self._record(name, fact, values, spent=sandbox.spent)

    async def _record(self, name: str, fact: ev.Event, values: Values, *, spent: bool) -> Advance:
        """Records the end of an attempt, and what else to do its sandbox gets, unless it is spent."""
        if spent:
            end = failure_of(name, None, "the sandbox could not be made clean")
            return await self._advance([fact, end], outputs=values.made)
        return await self._advance([fact], claim=name, outputs=values.made)

    # ---- agents

    def _attending(self, given: Dispatch, sandbox: str) -> "Attending | None":
        """Who answers an attempt, if that is an agent's."""
        assert self._state.plan is not None
        if self._state.plan.step(given.step).agent is None:
            return None
        from citadel.local.agents import Attending

        accounts = self._accounts(given.step)
        return Attending(self, self._uid, given, sandbox, self._means, accounts)

    async def record(self, fact: ev.Event, values: Values) -> None:
        """Records a fact."""
        await self._advance([fact], outputs=values.made)

    async def value(self, value: Value) -> Json:
        """What a value of the execution is."""
        return await json_of(self._journal, self._uid, value)

    # ---- logs

    def _log(self, given: Dispatch, stream: str, line: str) -> None:
        chunks = self._logs.setdefault((given.step, given.attempt), [])
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        chunks.append(LogChunk(given.step, given.attempt, len(chunks), stream, at, f"{line}\n"))
        self._observer.logged(given.step, given.attempt, stream, line)

    async def _keep_logs(self, given: Dispatch) -> None:
        await self._journal.append_logs(self._uid, self._logs.pop((given.step, given.attempt), []))


def _end(
    sandbox: str,
    given: Dispatch,
    result: "Json | Failure",
    kept: Mapping[str, Content],
    usage: ev.Usage | None,
    values: Values,
) -> ev.Event:
    """The end of an attempt; `values` takes its output."""
    if isinstance(result, Failure):
        return ev.AttemptFailed(given.step, given.attempt, sandbox, result, usage)
    return ev.AttemptSucceeded(given.step, given.attempt, sandbox, values.put(result), kept, usage)
