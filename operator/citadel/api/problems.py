"""What is wrong with an object, as a path and one sentence; and the words every message uses.

Messages name what was found and what was expected. They never carry a library's jargon or a whole value.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "mapping",
    list: "list",
}

Path = tuple[str | int, ...]
"""Where a value stands in an object: keys and list indices from the root."""

LONGEST_VALUE = 60
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (also by line and column, 1-based, where the text is known) and what."""

    path: Path
    message: str
    line: int | None = None
    column: int | None = None

    @property
    def text(self) -> str:
        """`spec.steps[1].run: found neither of code and codeFrom, expected exactly one`."""
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message

    @property
    def located(self) -> str:
        """The text behind its line and column, where they are known: `12:5: spec.steps[1].run: …`."""
        return self.text if self.line is None else f"{self.line}:{self.column}: {self.text}"


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `spec.steps[1].run`, `spec.outputs["a b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def shortened(value: Any) -> str:
    """The value as JSON, at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def found(value: Any) -> str:
    """The value and its kind, for messages: `"3" (string)`; containers by their kind and size alone."""
    match value:
        case None:
            return "nothing (null)"
        case dict():
            return f"a mapping of {counted(len(value), 'field')}"
        case list() | tuple():
            return f"a list of {counted(len(value), 'item')}"
        case _:
            return f"{shortened(value)} ({_KINDS.get(type(value), type(value).__name__)})"


def counted(number: int, noun: str) -> str:
    """`1 field`, `2 fields`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean command?` when one of the known words is near, else nothing."""
    by_lower_case = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return f", did you mean {by_lower_case[near[0]]}?" if near else ""


def belongs(word: str, fields: Iterable[str], deeper: Mapping[str, str]) -> str:
    """Where an unknown field may belong; `deeper` names the fields one level down, each with its parent."""
    fields = tuple(fields)
    if word in deeper:
        return f", did you mean {deeper[word]}.{word}?"
    near = suggestion(word, fields) or suggestion(word, deeper)
    return near or f", expected one of {', '.join(fields)}"
