"""Calls of models and tools that steps want: what they need of the cluster is gathered, sealed, and left for
the processes that make them, which have no way to the cluster.

Observe (the journal, the cache), decide (`core/models.py`, `core/tools.py`, `core/spending.py`, pure), act. A
call that is placed twice, after a crash, is placed once.
"""

import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.controller.means import Means
from citadel.controller.paying import Paying
from citadel.controller.sealing import Sealer
from citadel.controller.tools import FoundTool, Tools
from citadel.core import events as ev
from citadel.core import models, tools
from citadel.core.outside import NOT_STARTED
from citadel.core.state import State
from citadel.core.toolcalls import CREDENTIAL
from citadel.kube.resources import Object
from citadel.store.calls import Calls, PlacedCall
from citadel.store.journal import ExecutionUnknown, Journal, arguments_of

#: Seconds after which a Model is looked for again that a step asks and that is not there yet.
_AGAIN = 1.0
#: Seconds after which a call is placed here that whoever wanted it should have placed: an earlier version has
#: not.
_LATE = 2.0


class Wanted(Protocol):
    """A call that a step waits for."""

    @property
    def step(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def since(self) -> float: ...


W = TypeVar("W", bound=Wanted)


class Placing(Generic[W]):
    """Places calls of one kind."""

    def __init__(self, journal: Journal, calls: Calls, now: Callable[[], float] = time.time) -> None:
        self._journal, self._calls, self._now = journal, calls, now
        self._placed: dict[str, set[tuple[str, int]]] = {}
        """What was placed of each execution that goes on."""

    def wanted(self, state: State) -> Iterator[W]:
        """The calls that steps wait for now."""
        raise NotImplementedError

    async def made(self, obj: Object, state: State, call: W) -> PlacedCall:
        """A call with all that it needs; raises Unusable."""
        raise NotImplementedError

    def failed(self, call: W, reason: Reason, message: str) -> ev.Event:
        """The fact that a call gives nothing."""
        raise NotImplementedError

    def by_others(self, call: W) -> bool:
        """Whether it is placed by whoever advances an execution so that it is wanted."""
        return False

    def gone(self, uid: str) -> None:
        """An execution is over, or its object is gone."""
        self._placed.pop(uid, None)

    async def follow(self, obj: Object, state: State) -> tuple[State, float | None]:
        """Places what steps of an Execution want; its state then, and seconds after which to look again."""
        uid, again = obj["metadata"]["uid"], None
        if state.finished is not None:
            self.gone(uid)
            return state, None
        for call in list(self.wanted(state)):
            placed = self._placed.setdefault(uid, set())
            if (call.step, call.attempt) in placed:
                continue
            others = self.by_others(call)
            if others and (left := call.since + _LATE - self._now()) > 0:
                again = min(left, _AGAIN)
                continue
            try:
                if state.stopping and not others:
                    raise Unusable(Reason.CANCELLED, NOT_STARTED, waits=False)
                await self._calls.place(await self.made(obj, state, call))
            except Unusable as problem:
                if problem.waits and self._now() - call.since < grace(problem):
                    again = _AGAIN
                    continue
                told = f"step {call.step}: {problem.message}"
                fact = self.failed(call, problem.reason, told)
                state = (await self._journal.advance(uid, [fact])).state
            except ExecutionUnknown:
                return state, None
            placed.add((call.step, call.attempt))
        return state, again


class Asking(Placing[models.Wanted]):
    """Places calls of models."""

    def __init__(
        self,
        journal: Journal,
        calls: Calls,
        means: Means,
        paying: Paying,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(journal, calls, now)
        self._means, self._paying = means, paying

    def wanted(self, state: State) -> Iterator[models.Wanted]:
        """The calls that steps wait for now."""
        return models.wanted(state)

    async def made(self, obj: Object, state: State, call: models.Wanted) -> PlacedCall:
        """A call with all that it needs; raises Unusable."""
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        means = await self._means.gather(namespace, call.llm.model)
        body = {"models": means.models, "accounts": await self._paying.accounts(obj, state, call.step)}
        sealed = means.sealed or None
        return PlacedCall(uid, call.step, call.attempt, namespace, body, means.hosts, sealed)

    def failed(self, call: models.Wanted, reason: Reason, message: str) -> ev.Event:
        """The fact that a call gives nothing."""
        return models.failed(call, reason, message)


class Calling(Placing[tools.WantedTool]):
    """Places calls of tools. `sealer` seals to the process that makes them."""

    def __init__(
        self,
        journal: Journal,
        calls: Calls,
        found: Tools,
        sealer: Sealer,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(journal, calls, now)
        self._tools, self._sealer = found, sealer

    def wanted(self, state: State) -> Iterator[tools.WantedTool]:
        """The calls that steps wait for now."""
        return tools.wanted(state)

    def by_others(self, call: tools.WantedTool) -> bool:
        """What has no credential needs nothing that only the controller may read."""
        return call.tool.credential is None

    async def made(self, obj: Object, state: State, call: tools.WantedTool) -> PlacedCall:
        """A call with all that it needs; raises Unusable."""
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        assert state.plan is not None
        home = self._tools.shared if call.tool.name in state.plan.shared_tools else namespace
        tool = FoundTool(home, call.tool.name, call.tool.spec, {})
        key, sealed = await self._tools.credential(tool), None
        if key is not None:
            sealed = {CREDENTIAL: await self._sealer.credential(key.key, tool.destination)}
        body = tools.body_of(call, await arguments_of(self._journal, uid, call.payload))
        return PlacedCall(uid, call.step, call.attempt, namespace, body, (str(tool.destination),), sealed)

    def failed(self, call: tools.WantedTool, reason: Reason, message: str) -> ev.Event:
        """The fact that a call gives nothing."""
        return tools.failed(call, reason, message)


def grace(problem: Unusable) -> float:
    """Definitions arrive in any order; what nobody has granted is told at once."""
    return problem.grace if problem.reason is Reason.MODEL_NOT_FOUND else 0.0
