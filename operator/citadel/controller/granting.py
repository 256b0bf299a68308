"""What attempts of agents may ask of models: granted as soon as one is known, taken back once it is over.

Observe (the journal, the grants there are), decide (`core/agents.py`, pure), act. Whatever an attempt has
reserved when its grant goes counts in full, in the same transaction.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.controller.means import Means
from citadel.controller.paying import Paying
from citadel.core import events as ev
from citadel.core.agents import Attempt, attempts
from citadel.core.failures import Failure
from citadel.core.hashing import hashed
from citadel.core.state import State, is_running
from citadel.kube.resources import Object
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.model_grants import TOKEN, Grant, ModelGrants

#: Seconds after which it is tried again to grant what could not be.
_AGAIN = 1.0
_PREFIX = "model."


class Granting:
    """Places grants. `shared` is the namespace of agents that serve all namespaces."""

    def __init__(
        self,
        journal: Journal,
        grants: ModelGrants,
        means: Means,
        paying: Paying,
        shared: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._journal, self._grants = journal, grants
        self._means, self._paying = means, paying
        self._shared, self._now = shared, now
        self._placed: dict[str, set[tuple[str, int]]] | None = None
        """The grants there are, by execution; None before they were read."""
        self._reading = asyncio.Lock()

    async def follow(self, obj: Object, state: State) -> tuple[State, float | None]:
        """Grants what attempts of an Execution need, and takes back what is over; its state then, and seconds
        after which to look again."""
        if state.plan is None or not state.plan.agents:
            return state, None
        uid, again = obj["metadata"]["uid"], None
        placed = (await self._known()).setdefault(uid, set())
        under_way = {(item.step, item.attempt): item for item in attempts(state)}
        for step, attempt in placed - under_way.keys():
            await self._grants.remove(uid, step, attempt)
            placed.discard((step, attempt))
        for key, item in under_way.items():
            if key in placed or state.stopping:
                continue
            try:
                await self._grants.place(await self._made(obj, state, item))
                placed.add(key)
            except ExecutionUnknown:
                return state, None
            except Unusable as problem:
                again = _AGAIN
                state = await self._refuse(uid, state, item, problem)
        if not placed:
            (await self._known()).pop(uid, None)
        return state, again

    async def gone(self, uid: str) -> None:
        """An execution is over, or its object is gone."""
        # `follow` may be taking grants back from this very set meanwhile.
        for step, attempt in list((await self._known()).pop(uid, set())):
            await self._grants.remove(uid, step, attempt)

    async def left(self) -> None:
        """Takes back what a controller before this one has left of executions that are over."""
        for uid in list(await self._known()):
            try:
                over = (await self._journal.read(uid)).finished is not None
            except ExecutionUnknown:
                over = True
            if over:
                await self.gone(uid)

    async def _known(self) -> dict[str, set[tuple[str, int]]]:
        async with self._reading:
            if self._placed is None:
                self._placed = {}
                for uid, step, attempt in await self._grants.keys():
                    self._placed.setdefault(uid, set()).add((step, attempt))
        return self._placed

    async def _made(self, obj: Object, state: State, item: Attempt) -> Grant:
        """A grant with all that it needs; raises Unusable."""
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        assert state.plan is not None
        is_shared = item.asks.name in state.plan.shared_agents
        means = await self._means.gather(self._shared if is_shared else namespace, item.agent.model)
        token = _PREFIX + secrets.token_urlsafe(24)
        agent = item.agent.model_dump(
            mode="json", by_alias=True, exclude_none=True, include={"limits", "max_tokens", "temperature"}
        )
        body = {
            "models": means.models,
            "accounts": await self._paying.accounts(obj, state, item.step),
            "agent": {"name": item.asks.name, **agent},
        }
        sealed = {**means.sealed, TOKEN: await self._means.sealer.seal(token)}
        return Grant(uid, item.step, item.attempt, namespace, body, means.hosts, sealed, hashed(token))

    async def _refuse(self, uid: str, state: State, item: Attempt, problem: Unusable) -> State:
        """Ends an attempt that cannot be granted its Model, once it is in a sandbox and waits no longer."""
        if problem.reason is Reason.MODEL_NOT_FOUND and self._now() - item.since < problem.grace:
            return state
        found = state.steps[item.step]
        if not is_running(found) or found.delivered_at is None:
            return state
        assert found.sandbox is not None
        failure = replace(Failure.cut(problem.reason, f"step {item.step}: {problem.message}"), final=False)
        fact = ev.AttemptFailed(item.step, item.attempt, found.sandbox, failure)
        return (await self._journal.advance(uid, [fact])).state
