"""What agents are told of their conversations, and the summaries that they make of them.

Which conversation that is the state says: its namespace, the agent of the step, and the name that the step
gave. Nothing that a sandbox sends is a part of that.
"""

from collections.abc import Mapping
from typing import Any

from citadel.core.failures import shorten
from citadel.core.state import State
from citadel.core.values import Values
from citadel.gateway.calls import check_under_way
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry
from citadel.gateway.sessions import Session
from citadel.store.conversations import SUMMARY_LIMIT, Conversations, key_of, reminded
from citadel.store.journal import Advance


class Memory:
    """The conversations of agents under way."""

    def __init__(self, conversations: Conversations, registry: Registry) -> None:
        self._conversations, self._registry = conversations, registry

    async def reminded(self, advance: Advance, told: dict[str, Any]) -> dict[str, Any]:
        """An assignment, with what the agent remembers where it is one with a memory."""
        step = advance.step
        assert step is not None
        key = key_of(advance.state, step, Values(loaded=dict(advance.values)))
        if key is None:
            return told
        assert advance.state.created is not None
        attempt = (advance.state.created.uid, step, told["attempt"])
        agent = await reminded(self._conversations, attempt, key, told["input"]["agent"])
        return {**told, "input": {**told["input"], "agent": agent}}

    async def summarise(
        self, session: Session, step: str, attempt: int, data: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Keeps the summary of an attempt under way, until it succeeds; raises Refused."""
        summary, covers = data.get("summary"), data.get("covers")
        if not isinstance(summary, str) or not summary.strip():
            raise Refused(400, "BadRequest", "summary: expected a text")
        if isinstance(covers, bool) or not isinstance(covers, int):
            raise Refused(400, "BadRequest", "covers: expected a number of messages")
        state: State = await self._registry.read(session)
        check_under_way(state, session.sandbox, step, attempt)
        uid = await self._registry.execution_of(session)
        kept = shorten(summary, SUMMARY_LIMIT)
        if not await self._conversations.summarise(uid, step, attempt, kept, covers):
            raise Refused(400, "BadRequest", f"covers: found {covers}, which this attempt was not given")
        return {}
