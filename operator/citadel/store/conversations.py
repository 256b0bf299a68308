"""What agents remember: conversations by namespace, agent, and a name that the step says. Never by what a
model says.

An attempt is given what was remembered when it was first handed out, and the same again in another sandbox.
What it was asked and has answered is appended in the transaction that records its success; so is a summary
that it has made of the older messages.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.agents import conversation_of
from citadel.core.failures import shorten
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.state import State
from citadel.core.values import Inline, Value, Values

#: Bytes of JSON that one message, and a summary, may take.
CONTENT_LIMIT = 32 * 1024
SUMMARY_LIMIT = 32 * 1024
#: Messages of a conversation that are kept, and bytes of those that an attempt is given. An agent makes a
#: summary long before, see `citadel_agent/conversation.py`: these are for many that answer at once, and for
#: a model that makes none.
MOST_MESSAGES = 400
GIVEN_BYTES = 256 * 1024
NAME_LIMIT = 200


@dataclass(frozen=True, order=True)
class Key:
    """A conversation."""

    namespace: str
    """Of the execution."""
    agent: str
    conversation: str


@dataclass(frozen=True)
class Said:
    """A message of a conversation."""

    role: str
    content: str
    at: float = 0.0
    execution: str = ""
    """The uid of the execution that it was said in."""


@dataclass(frozen=True)
class Remembered:
    """What an attempt is given of its conversation."""

    history: Sequence[Mapping[str, str]]
    """The messages since the summary, the oldest first: `{role, content}`."""
    summary: str | None


@dataclass(frozen=True)
class Recalled:
    """What one attempt was given, and of which conversation."""

    step: str
    attempt: int
    key: Key
    remembered: Remembered


@dataclass(frozen=True)
class Answered:
    """An attempt of an agent with a memory that has succeeded."""

    uid: str
    step: str
    attempt: int
    answer: Value


@dataclass(frozen=True)
class Conversation:
    """A conversation as people see it."""

    agent: str
    conversation: str
    messages: int
    summarised: bool
    created_at: float
    changed_at: float


class Conversations(Protocol):
    """What is remembered."""

    async def recall(self, uid: str, step: str, attempt: int, key: Key, prompt: str) -> Remembered:
        """What an attempt is given, which is fixed when it is first asked for."""
        ...

    async def recalled(self, uid: str) -> list[Recalled]:
        """What the attempts of an execution were given, as far as nobody has it deleted."""
        ...

    async def summarise(self, uid: str, step: str, attempt: int, summary: str, covers: int) -> bool:
        """Lets a summary stand for the first `covers` messages that an attempt was given, once it succeeds.

        False if it was given less than that.
        """
        ...

    async def of(self, namespace: str, agent: str) -> list[Conversation]:
        """The conversations of an agent, the one changed last first."""
        ...

    async def read(self, key: Key) -> tuple[str | None, list[Said]] | None:
        """The summary and the messages of a conversation; None if there is none."""
        ...

    async def forget(
        self,
        namespace: str,
        agent: str | None = None,
        conversation: str | None = None,
        *,
        before: float | None = None,
    ) -> int:
        """Deletes a conversation, all of an agent, or all of a namespace, those that began `before` then.

        Returns how many there were. What is under way brings nothing of them back.
        """
        ...

    async def namespaces(self) -> list[tuple[str, float]]:
        """The namespaces that have any, and since when."""
        ...


def named(conversation: str) -> str:
    """The name of a conversation as it is kept: a long one by its start and its digest."""
    if len(conversation) <= NAME_LIMIT:
        return conversation
    told = digest(conversation.encode()).removeprefix("sha256:")
    return f"{conversation[: NAME_LIMIT - 40]}…{told[:32]}"


def key_of(state: State, step: str, values: Values) -> Key | None:
    """The conversation of an attempt; None where it has none. Raises MissingValues."""
    assert state.plan is not None
    assert state.created is not None
    agent = state.plan.step(step).spec.agent
    if agent is None:
        return None
    conversation = conversation_of(state, step, values)
    return Key(state.created.namespace, agent.name, named(conversation)) if conversation else None


async def reminded(
    conversations: Conversations, attempt: tuple[str, str, int], key: Key, agent: Mapping[str, Json]
) -> dict[str, Json]:
    """What an agent is given, with what it remembers; `attempt` is uid, step and number."""
    found = await conversations.recall(*attempt, key, asked(agent))
    return {**agent, "history": [dict(one) for one in found.history], "summary": found.summary}


def asked(agent: Mapping[str, Json]) -> str:
    """What an agent is asked, as it is remembered: its prompt, and below it what it is shown."""
    prompt, given = str(agent["prompt"] or ""), agent["input"]
    shown = f"\n\n{canonical(given).decode()}" if given else ""
    return shorten(prompt + shown, CONTENT_LIMIT)


def answer_text(body: bytes) -> str:
    """An output, canonical JSON, as a message."""
    output = json.loads(body)
    return shorten(output if isinstance(output, str) else body.decode(), CONTENT_LIMIT)


def answers(state: State, events: Iterable[ev.Event]) -> Iterator[Answered]:
    """What agents with a memory have answered."""
    for event in events:
        if not isinstance(event, ev.AttemptSucceeded) or state.plan is None or state.created is None:
            continue
        agent, step = state.plan.step(event.step).agent, state.steps[event.step]
        if agent is None or agent.memory is None or step.status is not StepStatus.SUCCEEDED:
            continue
        yield Answered(state.created.uid, event.step, event.attempt, step.output or event.output)


def body_of(answered: Answered, values: Mapping[str, bytes]) -> bytes:
    """The canonical JSON of an answer, where `values` holds what this advance has made."""
    output = answered.answer
    return canonical(output.value) if isinstance(output, Inline) else values[output.digest]


def given(messages: Sequence[Any]) -> list[Any]:
    """Those of a conversation's messages since its summary, the oldest first, that an attempt is given."""
    # Where they do not fit, the newest have to wait until a summary has made room. Were it the oldest that
    # are left out, the summary would stand for messages that nobody has read, and they would be lost.
    sizes = accumulate(len(message.content.encode()) for message in messages)
    return [message for message, size in zip(messages, sizes, strict=True) if size <= GIVEN_BYTES]
