"""Executions within an execution on this machine: each runs as that one does, in the same process."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from citadel.api.reasons import Phase, Reason
from citadel.core import events as ev
from citadel.core.children import (
    MAX_DEPTH,
    Child,
    ended,
    failed,
    too_deep,
    wanted,
)
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.core.values import Values
from citadel.local.documents import Contents
from citadel.local.start import CannotRun, Start, start_of
from citadel.local.tools import Tools
from citadel.store.journal import Journal, arguments_of, json_of

if TYPE_CHECKING:
    from citadel.local.execution import Observer


class Inner:
    """Who watches an execution sees those within it, by the steps that wait for them."""

    def __init__(self, observer: "Observer", step: str) -> None:
        self._observer, self._step = observer, step

    def changed(self, state: State) -> None:
        """Its state is another; that of the step which waits for it is not."""
        self._observer.within(self._step, state)

    def within(self, step: str, state: State) -> None:
        """The state of an execution within this one is another."""
        self._observer.within(f"{self._step}/{step}", state)

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """A step printed a line."""
        self._observer.logged(f"{self._step}/{step}", attempt, stream, line)


class Run(Protocol):
    """An execution on this machine."""

    async def run(self, start: Start) -> State:
        """Runs it to its end."""
        ...

    async def stop(self, mode: str, reason: str, message: str) -> None:
        """Asks for its end."""
        ...


class Within:
    """The executions within one. `chain` names the workflows around it and its own, outermost first."""

    def __init__(
        self,
        journal: Journal,
        contents: Contents,
        chain: Sequence[str],
        tools: Tools,
        make: Callable[[Child, tuple[str, ...]], Run],
    ) -> None:
        self._journal, self._contents, self._chain, self._make = journal, contents, tuple(chain), make
        self._tools = tools
        self._runs: dict[str, Run] = {}

    async def serve(self, uid: str, child: Child, now: Callable[[], State]) -> tuple[ev.Event, Values]:
        """Runs what a step of the execution `uid` wants: the fact of its end. `now` is that one's state."""
        values = Values()
        if len(self._chain) >= MAX_DEPTH:
            return too_deep(child, list(self._chain)), values
        inputs = await arguments_of(self._journal, uid, child.payload)
        try:
            workflow = self._contents.workflows[child.workflow]
            start = start_of(
                workflow, self._contents, inputs, child.name, self._tools, no_cache=child.no_cache
            )
        except CannotRun as error:
            why = f"{child.title} failed: {Reason.INVALID_INPUTS}: {error}"
            return failed(child, why, final=True), values
        if now().stopping:
            return failed(child, "not started", Reason.CANCELLED, Phase.CANCELLED), values
        run = self._runs[child.name] = self._make(child, (*self._chain, child.workflow))
        try:
            state = await run.run(start)
        finally:
            self._runs.pop(child.name, None)
        outputs: Json = None
        if state.finished is not None and state.finished.outputs is not None:
            outputs = await json_of(self._journal, start.created.uid, state.finished.outputs)
        return ended(now(), child, state, outputs, values), values

    def to_stop(self, state: State) -> Iterator[Run]:
        """Those that are waited for no longer, or are to be cancelled with the one they are in; each once."""
        waited = set() if state.stopping else {child.name for child in wanted(state)}
        for name in self._runs.keys() - waited:
            yield self._runs.pop(name)
