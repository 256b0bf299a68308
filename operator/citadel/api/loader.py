"""The one YAML loader of `citadel lint` and the local runner: text in, documents with positions out.

It reads what kubectl reads, and reports what YAML would silently twist. It never opens a file, and never runs
out of bounds: size, depth, and number of values (aliases count as what they stand for) are limited.
"""

import collections.abc
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import DocumentStartEvent, Event, StreamEndEvent
from ruamel.yaml.reader import ReaderError

from citadel.api.problems import Path, Problem, shortened
from citadel.api.yamlchecks import explain, resolve, twist, twisted_key
from citadel.api.yamlnodes import (
    MAX_NODES,
    Composer,
    LoadError,
    Mapping,
    Node,
    Position,
    Scalar,
    Sequence,
    check_depth,
    position,
)

__all__ = ["Document", "LoadError", "Position", "load"]

MAX_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """One YAML document: its value as kubectl reads it, where each part stands, and what YAML twisted."""

    value: Any
    positions: collections.abc.Mapping[Path, Position]
    """Where each value begins; for a block of text, its `|`."""
    keys: collections.abc.Mapping[Path, Position]
    """Where the key of each mapping entry begins."""
    problems: tuple[Problem, ...]
    """Unquoted scalars that do not mean what they look like, and duplicate keys: errors for lint."""

    def position(self, path: Path) -> Position:
        """Where to point for a path: its key, its list item, or its nearest ancestor that the text has."""
        for length in range(len(path), -1, -1):
            at = self.keys.get(path[:length]) or self.positions.get(path[:length])
            if at is not None:
                return at
        return Position(1, 1)


def load(text: str) -> tuple[Document, ...]:
    """All documents of a YAML or JSON text but the empty ones; raises LoadError."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise LoadError(f"found more than {MAX_BYTES} bytes, expected at most that many", Position(1, 1))
    try:
        return tuple(_documents(_events(text)))
    except ReaderError as error:
        before = text[: error.position]
        at = Position(before.count("\n") + 1, error.position - before.rfind("\n"))
        code = ord(text[error.position])
        raise LoadError(f"found the character U+{code:04X}, which YAML does not allow", at) from None
    except MarkedYAMLError as error:
        raise _explained(error, text) from None
    except YAMLError as error:
        raise LoadError(f"cannot be read as YAML: {error}", Position(1, 1)) from None


def _explained(error: MarkedYAMLError, text: str) -> LoadError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = text.splitlines()
    source = lines[line] if line < len(lines) else ""
    message = explain(error.problem or "", error.context or "", source, column)
    if not source[column:].strip() and error.context_mark is not None:
        # The text ran out: what was left open tells more than its end.
        line, column = error.context_mark.line, error.context_mark.column
    return LoadError(message, Position(line + 1, column + 1))


def _events(text: str) -> Iterator[Event]:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yield from yaml.parse(StringIO(text))


def _documents(events: Iterator[Event]) -> Iterator[Document]:
    next(events)
    while not isinstance(start := next(events), StreamEndEvent):
        if isinstance(start, DocumentStartEvent) and start.version not in (None, (1, 1)):
            raise LoadError("found another %YAML version than 1.1, which kubectl refuses", position(start))
        root = Composer(events).node(next(events))
        next(events)
        if isinstance(root, Scalar) and root.plain and not root.text:
            continue
        reading = _Reading()
        value = reading.value(root, ())
        # Twists inside an anchored node would come once for each of its aliases.
        problems = {(problem.line, problem.column): problem for problem in reversed(reading.problems)}
        in_order = sorted(problems.values(), key=lambda problem: (problem.line or 0, problem.column or 0))
        yield Document(value, reading.positions, reading.keys, tuple(in_order))


@dataclass
class _Reading:
    """Nodes of one document into values, aliases written out."""

    positions: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def value(self, node: Node, path: Path) -> Any:
        self.positions[path] = node.at
        self.count += 1
        if self.count > MAX_NODES:
            raise LoadError(
                f"found aliases that stand for more than {MAX_NODES} values, expected at most that many",
                node.at,
            )
        check_depth(len(path), node.at)
        match node:
            case Scalar():
                return self._scalar(node, path)
            case Sequence():
                return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
            case Mapping():
                return self._mapping(node, path)

    def _scalar(self, node: Scalar, path: Path) -> Any:
        if not node.plain:
            return node.text
        value = _resolved(node)
        self._report(path, twist(node.text), node.at)
        return value

    def _mapping(self, node: Mapping, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.pairs:
            if key_node.plain and key_node.text == "<<":
                if own:
                    raise LoadError(
                        "found << below other fields, which it would override for kubectl; put it first",
                        key_node.at,
                    )
                merged.update(self._merged(value_node, path))
                continue
            key = self._key(key_node, path)
            if key in own:
                message = f"found the key {shortened(key)} twice, of which YAML keeps the last; remove one"
                self._report((*path, key), message, key_node.at)
            self.keys[(*path, key)] = key_node.at
            own[key] = self.value(value_node, (*path, key))
        return {**merged, **own}

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for source in reversed(node.items if isinstance(node, Sequence) else (node,)):
            if not isinstance(source, Mapping):
                raise LoadError("found << without a mapping to merge, expected one", node.at)
            result.update(self._mapping(source, path))
        return result

    def _key(self, node: Scalar, path: Path) -> str:
        if not node.plain:
            return node.text
        value = _resolved(node)
        self._report((*path, node.text), twisted_key(node.text), node.at)
        if isinstance(value, bool):
            return str(value).lower()
        return node.text if value is None else str(value)

    def _report(self, path: Path, message: str | None, at: Position) -> None:
        if message is not None:
            self.problems.append(Problem(path, message, at.line, at.column))


def _resolved(node: Scalar) -> str | int | float | bool | None:
    try:
        return resolve(node.text)
    except ValueError as error:
        raise LoadError(str(error), node.at) from None
