"""What agents are told of their conversations, and the summaries that they make of them.

Which conversation that is the state says: its namespace, the agent of the step, and the name that the step
gave. Nothing that a sandbox sends is a part of that.
"""

from collections.abc import Mapping
from typing import Any

from citadel.core.agents import conversation_of
from citadel.core.failures import shorten
from citadel.core.state import State
from citadel.core.values import Values
from citadel.gateway.calls import check_under_way
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry
from citadel.gateway.sessions import Session
from citadel.store.conversations import SUMMARY_LIMIT, Conversations, Key, asked, named
from citadel.store.journal import Advance


class Memory:
    """The conversations of agents under way."""

    def __init__(self, conversations: Conversations, registry: Registry) -> None:
        self._conversations, self._registry = conversations, registry

    async def reminded(self, advance: Advance, told: dict[str, Any]) -> dict[str, Any]:
        """An assignment, with what the agent remembers where it is one with a memory."""
        step = advance.step
        assert step is not None
        key = key_of(advance, step)
        if key is None:
            return told
        agent = told["input"]["agent"]
        assert advance.state.created is not None
        uid = advance.state.created.uid
        found = await self._conversations.recall(uid, step, told["attempt"], key, asked(agent))
        agent = {**agent, "history": list(found.history), "summary": found.summary}
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


def key_of(advance: Advance, step: str) -> Key | None:
    """The conversation of an attempt; None where it has none."""
    state = advance.state
    assert state.plan is not None
    assert state.created is not None
    agent = state.plan.step(step).spec.agent
    if agent is None:
        return None
    conversation = conversation_of(state, step, Values(loaded=dict(advance.values)))
    if not conversation:
        return None
    return Key(state.created.namespace, agent.name, named(conversation))
