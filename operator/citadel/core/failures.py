"""Why something failed, in texts that are small enough for an event."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

#: Bytes of JSON that texts may take in an event; together, with the longest names, they stay under 4 kB.
MESSAGE_LIMIT = 1024
DETAIL_LIMIT = 1000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The start of `text` that takes at most `limit` bytes of JSON; what no database takes is replaced."""
    text = _UNSTORABLE.sub("\ufffd", text[:limit])
    return text[: _fitting(text, limit)]


def shorten_front(text: str, limit: int = DETAIL_LIMIT) -> str:
    """The end of `text` that takes at most `limit` bytes of JSON."""
    text = _UNSTORABLE.sub("\ufffd", text[-limit:])
    return text[len(text) - _fitting(reversed(text), limit) :]


def _fitting(text: Iterable[str], limit: int) -> int:
    """How many characters fit."""
    return sum(1 for size in accumulate(map(_json_size, text)) if size <= limit)


def _json_size(character: str) -> int:
    if character < " ":
        return 6
    return 2 if character in '"\\' else len(character.encode())


@dataclass(frozen=True)
class Failure:
    """Why an attempt, a step or an execution failed. Texts are cut so that an event stays small."""

    reason: str
    message: str
    traceback: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    final: bool = False
    """Whether another attempt would end no better, whatever `retry` says."""

    @classmethod
    def cut(
        cls, reason: str, message: str, traceback: str = "", exit_code: int | None = None, log_tail: str = ""
    ) -> "Failure":
        """A failure whose texts are cut to what an event holds; the end of a traceback or log says most."""
        return cls(
            shorten(reason, 63),
            shorten(message),
            shorten_front(traceback),
            exit_code,
            shorten_front(log_tail),
        )
