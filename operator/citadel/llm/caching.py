"""Answers that need not be paid for again: those of deterministic requests, where a Model says so.

A name of one holds all that an answer follows from: the namespace that asks, the Model as it is, the version
of its credential, and the whole request. So nobody is told what another asked.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol

from citadel.api.durations import seconds
from citadel.core.jsonvalues import InvalidValue, canonical, normalise
from citadel.llm import replies
from citadel.llm.asked import Target
from citadel.llm.provider import Answer, Request


class CachedAnswers(Protocol):
    """Answers by what was asked."""

    async def get(self, question: bytes) -> bytes | None:
        """The answer to a question; None if it is not known."""
        ...

    async def put(self, question: bytes, answer: bytes, seconds: float) -> None:
        """Keeps an answer for so long, unless it is too large."""
        ...


class AnswerCache:
    """The answers of one process's Models, in a store; `tell` is told `hit` or `miss` of each look."""

    def __init__(self, store: CachedAnswers, tell: Callable[[str], None] = lambda outcome: None) -> None:
        self._store, self._tell = store, tell

    async def find(self, namespace: str, target: Target, request: Request) -> Answer | None:
        """The answer to this very request, which costs nothing now; None if it is to be asked for."""
        question = _question(namespace, target, request)
        if question is None:
            return None
        found = _read(await self._store.get(question))
        self._tell("miss" if found is None else "hit")
        return found

    async def keep(self, namespace: str, target: Target, request: Request, answer: Answer) -> None:
        """Keeps an answer, where it may be."""
        question = _question(namespace, target, request)
        if question is None or target.spec.cache is None:
            return
        kept = canonical(replies.message_of(answer))
        await self._store.put(question, kept, seconds(target.spec.cache.ttl))


def _question(namespace: str, target: Target, request: Request) -> bytes | None:
    """What an answer follows from; None where it may not be kept."""
    spec = target.spec
    if spec.cache is None or not target.uid:
        return None
    if request.temperature != 0 and spec.provider != "scripted":
        return None
    about = {"namespace": namespace, "model": [target.uid, target.version], "request": asdict(request)}
    who = spec.model_dump(mode="json", include={"provider", "model", "endpoint", "script"})
    return json.dumps([about, who], sort_keys=True, separators=(",", ":")).encode()


def _read(kept: bytes | None) -> Answer | None:
    if kept is None:
        return None
    try:
        found = normalise(kept)
    except InvalidValue:
        return None
    return replies.answer_of(found) if isinstance(found, dict) else None
