"""What agents remember, in memory: for the local runner, and for tests. Ends with its process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from citadel.store.conversations import (
    MOST_MESSAGES,
    Answered,
    Conversation,
    Key,
    Recalled,
    Remembered,
    Said,
    answer_text,
    body_of,
    given,
)

_Attempt = tuple[str, str, int]


@dataclass
class _Head:
    created_at: float
    changed_at: float
    last: int = 0
    covers: int = 0
    summary: str | None = None
    turns: dict[int, Said] = field(default_factory=dict)


@dataclass
class _Given:
    key: Key
    prompt: str
    remembered: Remembered
    first: int
    news: tuple[str, int] | None = None
    """A summary, and the last message that it stands for."""


class MemoryConversations:
    """`Conversations` over dictionaries."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heads: dict[Key, _Head] = {}
        self._given: dict[_Attempt, _Given] = {}

    async def recall(self, uid: str, step: str, attempt: int, key: Key, prompt: str) -> Remembered:
        """What an attempt is given; see `Conversations.recall`."""
        found = self._given.get((uid, step, attempt))
        if found is None:
            head = self._heads.get(key) or _Head(0.0, 0.0)
            # Those that a summary stands for are gone.
            turns = given([head.turns[n] for n in sorted(head.turns)])
            history = [{"role": turn.role, "content": turn.content} for turn in turns]
            first = min(head.turns, default=0)
            found = _Given(key, prompt, Remembered(history, head.summary), first)
            self._given[uid, step, attempt] = found
        return found.remembered

    async def recalled(self, uid: str) -> list[Recalled]:
        """What attempts were given; see `Conversations.recalled`."""
        return [
            Recalled(step, attempt, found.key, found.remembered)
            for (of, step, attempt), found in self._given.items()
            if of == uid
        ]

    async def summarise(self, uid: str, step: str, attempt: int, summary: str, covers: int) -> bool:
        """Lets a summary stand for messages; see `Conversations.summarise`."""
        found = self._given.get((uid, step, attempt))
        if found is None or not 0 < covers <= len(found.remembered.history):
            return False
        found.news = summary, found.first + covers - 1
        return True

    def append(self, answered: Answered, values: Mapping[str, bytes]) -> None:
        """Puts a question and its answer at the end of their conversation."""
        found = self._given.get((answered.uid, answered.step, answered.attempt))
        if found is None:
            return
        at = self._clock()
        head = self._heads.setdefault(found.key, _Head(at, at))
        told = (("user", found.prompt), ("assistant", answer_text(body_of(answered, values))))
        for role, content in told:
            head.last += 1
            head.turns[head.last] = Said(role, content, at, answered.uid)
        head.changed_at = at
        if found.news is not None and found.news[1] > head.covers:
            head.summary, head.covers = found.news
        outdated = max(head.covers, head.last - MOST_MESSAGES)
        head.turns = {n: turn for n, turn in head.turns.items() if n > outdated}

    async def of(self, namespace: str, agent: str) -> list[Conversation]:
        """The conversations of an agent; see `Conversations.of`."""
        found = [
            Conversation(
                agent, key.conversation, head.last, head.summary is not None, head.created_at, head.changed_at
            )
            for key, head in self._heads.items()
            if (key.namespace, key.agent) == (namespace, agent)
        ]
        return sorted(found, key=lambda item: (-item.changed_at, item.conversation))

    async def read(self, key: Key) -> tuple[str | None, list[Said]] | None:
        """A conversation; see `Conversations.read`."""
        head = self._heads.get(key)
        return None if head is None else (head.summary, [head.turns[n] for n in sorted(head.turns)])

    async def forget(
        self,
        namespace: str,
        agent: str | None = None,
        conversation: str | None = None,
        *,
        before: float | None = None,
    ) -> int:
        """Deletes conversations; see `Conversations.forget`."""

        def meant(key: Key) -> bool:
            named = agent in (None, key.agent) and conversation in (None, key.conversation)
            head = self._heads.get(key)
            old = before is None or (head is not None and head.created_at < before)
            return key.namespace == namespace and named and old

        were = len(self._heads)
        self._given = {at: found for at, found in self._given.items() if not meant(found.key)}
        self._heads = {key: head for key, head in self._heads.items() if not meant(key)}
        return were - len(self._heads)

    async def namespaces(self) -> list[tuple[str, float]]:
        """The namespaces that have any; see `Conversations.namespaces`."""
        since: dict[str, float] = {}
        for key, head in self._heads.items():
            since[key.namespace] = min(head.created_at, since.get(key.namespace, head.created_at))
        return list(since.items())
