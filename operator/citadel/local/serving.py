"""Sandboxes of an execution on this machine: each takes one attempt after another, until it is let go."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.closing import CANCEL_GRACE
from citadel.core.dispatch import Dispatch, dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.placing import Placement
from citadel.core.sessions import assign, failure_of
from citadel.core.values import Content, Values
from citadel.local.artifacts import Parcels
from citadel.local.capture import Output
from citadel.local.documents import Contents
from citadel.local.execution import Execution, Observer
from citadel.local.means import Means
from citadel.local.outside import Outside
from citadel.local.sandboxes import Sandbox, SandboxEnded
from citadel.store.journal import Advance, LogChunk

if TYPE_CHECKING:
    from citadel.local.agents import Attending


class Serving:
    """Serves the sandboxes of one execution."""

    def __init__(
        self,
        execution: Execution,
        observer: Observer,
        contents: Contents,
        means: Means,
        outside: Outside,
        archives: Path,
    ) -> None:
        self._run, self._observer, self._references = execution, observer, contents.data
        self._means, self._outside, self._archives = means, outside, archives
        self.running: dict[str, Sandbox] = {}
        self._logs: dict[tuple[str, int], list[LogChunk]] = {}

    def cancel(self) -> None:
        """Whatever runs is to end."""
        for sandbox in self.running.values():
            sandbox.cancel(CANCEL_GRACE)

    def let_go(self) -> None:
        """Ends those that the execution has no use for any more."""
        for name, sandbox in self.running.items():
            if not self._run.state.sandboxes[name].usable:
                sandbox.cancel(CANCEL_GRACE)

    async def serve(self, name: str) -> None:
        """The life of one sandbox."""
        sandbox = self.running[name] = self._outside.sandbox(self._placement(name))
        try:
            await sandbox.start()
            advance = await self._run.advance([ev.SandboxRegistered(name)], claim=name)
            while self._run.state.finished is None and self._run.state.sandboxes[name].usable:
                if advance.step is None:
                    await self._work_for(name)
                    advance = await self._run.advance(claim=name)
                else:
                    given = dispatch(advance.state, advance.step, advance.values)
                    advance = await self._attempt(name, sandbox, given)
        except SandboxEnded as error:
            await self._run.advance([failure_of(name, None, str(error))])
        except OSError as error:
            await self._run.advance([failure_of(name, Reason.SANDBOX_START_FAILED, str(error))])
        finally:
            del self.running[name]
            sandbox.close()

    def _placement(self, name: str) -> Placement:
        """What a sandbox is to be made of."""
        assert self._run.state.plan is not None
        key = self._run.state.sandboxes[name].placement
        return next(found for found in self._run.state.plan.placements.values() if found.key == key)

    async def _work_for(self, name: str) -> None:
        """Waits until there may be work for an idle sandbox, or no more use of it."""
        while self._run.state.finished is None and self._run.state.sandboxes[name].usable:
            if assign(self._run.state, name, self._run.clock.time()) is not None:
                return
            await self._run.clock.wait(self._run.changed)

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
            await self._run.advance([ev.Delivered(given.step, given.attempt, given.placing)])
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
            await self._run.advance([ev.AttemptFailed(given.step, given.attempt, name, failure, usage)])
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
            return await self._run.advance([fact, end], outputs=values.made)
        return await self._run.advance([fact], claim=name, outputs=values.made)

    def _attending(self, given: Dispatch, sandbox: str) -> "Attending | None":
        """Who answers an attempt, if that is an agent's."""
        assert self._run.state.plan is not None
        if self._run.state.plan.step(given.step).agent is None:
            return None
        from citadel.local.agents import Attending

        accounts = self._run.accounts(given.step)
        return Attending(self._run, self._run.uid, given, sandbox, self._means, accounts)

    def _log(self, given: Dispatch, stream: str, line: str) -> None:
        chunks = self._logs.setdefault((given.step, given.attempt), [])
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        chunks.append(LogChunk(given.step, given.attempt, len(chunks), stream, at, f"{line}\n"))
        self._observer.logged(given.step, given.attempt, stream, line)

    async def _keep_logs(self, given: Dispatch) -> None:
        await self._run.journal.append_logs(self._run.uid, self._logs.pop((given.step, given.attempt), []))


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
