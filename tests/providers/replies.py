"""What a server says next, and how it says it."""

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer. Streams come word by word."""

    text: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()
    """Of each tool call its id, name and arguments; a text stands there as it is."""
    usage: tuple[int, int, int] | None = (30, 4, 10)
    """Tokens sent, answered, and of those sent the ones that were cached; None says nothing of them."""
    end: str | None = None
    """Why it ends, in the words of the protocol; without it what fits."""
    gate: asyncio.Event | None = None
    """Waited for before the last event of a stream."""
    pause: float = 0.0
    """Seconds before the first byte."""
    cut: bool = False
    """Whether the connection breaks before the last events of a stream."""
    error: str | None = None
    """What fails in the midst of a stream, before its end."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str | bytes | None = None
    """What is sent instead, byte for byte."""


def reply_of(given: Any) -> Reply:
    """A text, a status with headers and body, or a reply."""
    if isinstance(given, tuple):
        status, headers, body = given
        return Reply(status=status, headers=tuple(headers.items()), body=body)
    return Reply(given) if isinstance(given, str) else given


def pieces(text: str) -> list[str]:
    """A text as a stream brings it."""
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)] if text else []


def halves(text: str) -> list[str]:
    """Arguments as a stream brings them."""
    middle = max(1, len(text) // 2)
    return [part for part in (text[:middle], text[middle:]) if part]
