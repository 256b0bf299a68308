"""Grants as the door uses them: opened once, with ways to their Models that are kept between calls.

A way shows the egress proxy the token of its grant; the proxy asks again and again whether it still opens
anything.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from citadel.api.agent import AgentLimits
from citadel.core.spending import Account, Turn
from citadel.limiting import Refused
from citadel.llm import chat
from citadel.llm.asked import Payer, Target
from citadel.llm.provider import Provider
from citadel.models.sessions import Attempt
from citadel.store.journal import Notice
from citadel.store.model_grants import Grant, ModelGrants

#: Seconds for which a call waits for the grant of its attempt, and between two looks for it.
PATIENCE_SECONDS, LOOK_SECONDS = 5.0, 0.5
#: Seconds after which a grant that nobody uses is closed, with its connections.
IDLE_SECONDS = 30.0


class Ways(Protocol):
    """Ways to the Models of one grant."""

    def __call__(self, target: Target) -> Provider:
        """The way to a Model; raises ProviderError."""
        ...

    async def aclose(self) -> None:
        """Cuts the connections."""
        ...


#: Makes the ways of a grant.
Opening = Callable[[Grant], Ways]


@dataclass
class Granted:
    """A grant that is in use."""

    payer: Payer
    ways: Ways
    bounds: chat.Bounds
    users: int = 0
    used_at: float = 0.0

    def __post_init__(self) -> None:
        self._providers: dict[str, Provider] = {}

    def provider(self, target: Target) -> Provider:
        """The way to a Model, made when it is first asked; raises ProviderError."""
        found = self._providers.get(target.key)
        if found is None:
            found = self._providers[target.key] = self.ways(target)
        return found


class OpenGrants:
    """The grants that are in use."""

    def __init__(self, grants: ModelGrants, opening: Opening) -> None:
        self._grants, self._opening = grants, opening
        self._open: dict[tuple[str, str, int], Granted] = {}
        self._awaited: dict[str, asyncio.Event] = {}
        """By execution: set when a grant of it was placed."""

    def take(self, notice: Notice) -> None:
        """Something happened in the journal."""
        if notice.topic == "grant" and notice.id in self._awaited:
            self._awaited[notice.id].set()

    async def of(self, attempt: Attempt) -> Granted:
        """The grant of an attempt, for which it waits for a while; raises Refused."""
        found = self._open.get(attempt.key)
        if found is None:
            grant = await self._awaited_grant(attempt)
            # Somebody else may have opened it meanwhile.
            found = self._open.get(attempt.key) or self._opened(grant)
            self._open[attempt.key] = found
        found.used_at = time.monotonic()
        return found

    async def _awaited_grant(self, attempt: Attempt) -> Grant:
        until = time.monotonic() + PATIENCE_SECONDS
        placed = self._awaited.setdefault(attempt.uid, asyncio.Event())
        try:
            while True:
                placed.clear()
                grant = await self._grants.get(*attempt.key)
                if grant is not None:
                    return grant
                if time.monotonic() > until:
                    message = f"step {attempt.step} attempt {attempt.attempt} is not granted its model yet"
                    raise Refused(503, "NotGranted", message)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await placed.wait()
        finally:
            # Whoever waits beside it still looks from time to time.
            self._awaited.pop(attempt.uid, None)

    def _opened(self, grant: Grant) -> Granted:
        targets = tuple(Target.placed(item) for item in grant.body["models"])
        accounts = tuple(Account(**item) for item in grant.body["accounts"])
        agent: Mapping[str, Any] = grant.body.get("agent") or {}
        limits = AgentLimits.model_validate(agent.get("limits") or {})
        payer = Payer(*grant.key, grant.namespace, targets, accounts, Turn(limits.turns))
        bounds = chat.Bounds(agent.get("maxTokens"), agent.get("temperature"))
        return Granted(payer, self._opening(grant), bounds)

    async def sweep(self) -> None:
        """One round of closing what nobody uses."""
        await asyncio.sleep(IDLE_SECONDS / 3)
        old = time.monotonic() - IDLE_SECONDS
        for key, granted in list(self._open.items()):
            if not granted.users and granted.used_at < old:
                del self._open[key]
                await granted.ways.aclose()

    async def close(self) -> None:
        """Closes all of them."""
        while self._open:
            _, granted = self._open.popitem()
            await granted.ways.aclose()
