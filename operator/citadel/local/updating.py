"""New outputs in a file of tests: only the text of the outputs that were expected changes, all else stays.

It must never write what it has not read back: where the text is not what it seems, it leaves it alone.
"""

import json
import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from citadel.api.loader import LoadError, load
from citadel.api.yamlchecks import resolve, twist, twisted_key

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*")


def updated(text: str, outputs: Mapping[int, Any]) -> str | None:
    """The text with these outputs expected of its tests, by their numbers; None where that cannot be done."""
    spans: list[tuple[int, int, str]] = []
    for number, value in outputs.items():
        node = _node(text, ("tests", number, "expect", "outputs"))
        if node is None:
            return None
        start, end = node.start_mark.index, _end(text, node.start_mark.index, node.end_mark.index)
        spans.append((start, end, flow(value)))
    changed = text
    for start, end, new in sorted(spans, reverse=True):
        changed = changed[:start] + new + changed[end:]
    return changed if _says(changed, text, outputs) else None


def flow(value: Any) -> str:
    """JSON as people write it in one line of YAML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(key)}: {flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(flow, value)) + "]"
        case str():
            return value if _is_plain(value) and twist(value) is None else json.dumps(value)
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case _:
            return json.dumps(value)


def _key(key: str) -> str:
    return key if _is_plain(key) and twisted_key(key) is None else json.dumps(key)


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and resolve(text) == text


def _node(text: str, path: tuple[str | int, ...]) -> Any:
    """The node at a path; None where it is not written there."""
    node: Any = YAML(typ="safe", pure=True).compose(StringIO(text))
    for part in path:
        if isinstance(part, int):
            node = node.value[part]
        else:
            node = next((value for key, value in node.value if key.value == part), None)
        if node is None:
            return None
    return node


def _end(text: str, start: int, end: int) -> int:
    """Where the value itself ends: blank lines and comments after it belong to what follows."""
    lines = text[start:end].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return start + len("".join(lines).rstrip())


def _says(changed: str, text: str, outputs: Mapping[int, Any]) -> bool:
    """Whether the new text says what the old one did, but for these outputs."""
    try:
        (before,), (after,) = load(text), load(changed)
    except (LoadError, ValueError):
        return False
    for number, value in outputs.items():
        before.value["tests"][number]["expect"]["outputs"] = value
    return bool(before.value == after.value) and not after.problems
