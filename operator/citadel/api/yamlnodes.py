"""YAML events into nodes with positions: bounded in depth and number, tags refused.

Scalars stay text here; what they mean is for the loader.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

MAX_DEPTH = 64
MAX_NODES = 100_000

_ANCHOR = re.compile(r"[A-Za-z0-9_-]+")
_TAG = "tag:yaml.org,2002:"
_STRING_TAGS = frozenset({f"{_TAG}str", "!!str"})
_HARMLESS_TAGS = frozenset({f"{_TAG}map", "!!map", f"{_TAG}seq", "!!seq"})


@dataclass(frozen=True)
class Position:
    """Where something stands in the text; both count from 1."""

    line: int
    column: int


class LoadError(Exception):
    """The text cannot be read at all: why, and where (from 1)."""

    def __init__(self, message: str, at: Position) -> None:
        super().__init__(f"{at.line}:{at.column}: {message}")
        self.message = message
        self.line = at.line
        self.column = at.column


@dataclass(frozen=True)
class Scalar:
    """A text; `plain` if it stands without quotes, so that YAML gives it a type."""

    text: str
    plain: bool
    at: Position


@dataclass(frozen=True)
class Sequence:
    """A list of nodes."""

    items: "tuple[Node, ...]"
    at: Position


@dataclass(frozen=True)
class Mapping:
    """Pairs of nodes in the order of the text, duplicates and merge keys included."""

    pairs: "tuple[tuple[Scalar, Node], ...]"
    at: Position


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass
class Composer:
    """The events of one document into its root node; aliases become the very node they stand for."""

    events: Iterator[Event]
    anchors: dict[str, Node] = field(default_factory=dict)
    count: int = 0

    def node(self, event: Event, depth: int = 0) -> Node:
        """The node that begins with this event; raises LoadError."""
        at = position(event)
        self.count += 1
        if self.count > MAX_NODES:
            raise LoadError(f"found more than {MAX_NODES} values, expected at most that many", at)
        check_depth(depth, at)
        if not isinstance(event, NodeEvent):
            raise LoadError("cannot be read as YAML: found no value", at)
        if event.anchor is not None and not _ANCHOR.fullmatch(event.anchor):
            sign = "*" if isinstance(event, AliasEvent) else "&"
            raise LoadError(
                f"found {sign}{event.anchor}, expected the name of an anchor; quote the whole value", at
            )
        if isinstance(event, AliasEvent):
            return self._alias(event, at)
        node = self._content(event, depth, at)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: AliasEvent, at: Position) -> Node:
        # An anchor is known from its node's end on, so an alias inside its own node is unknown too.
        node = self.anchors.get(event.anchor)
        if node is None:
            raise LoadError(
                f"found *{event.anchor}, which stands for nothing; quote a value that begins with *", at
            )
        return node

    def _content(self, event: NodeEvent, depth: int, at: Position) -> Node:
        tag = _tag(event)
        if tag is not None and tag not in _STRING_TAGS | _HARMLESS_TAGS:
            shown = tag.replace(_TAG, "!!")
            raise LoadError(f"found {shown}, which YAML takes for a tag; quote the whole value", at)
        if isinstance(event, ScalarEvent):
            return Scalar(event.value, event.style is None and tag not in _STRING_TAGS, at)
        if isinstance(event, MappingStartEvent):
            return Mapping(tuple(self._pairs(depth)), at)
        return Sequence(tuple(self._items(depth)), at)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self.events), SequenceEndEvent):
            yield self.node(event, depth + 1)

    def _pairs(self, depth: int) -> Iterator[tuple[Scalar, Node]]:
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self.node(event, depth + 1)
            if not isinstance(key, Scalar):
                kind = "list" if isinstance(key, Sequence) else "mapping"
                raise LoadError(
                    f"found a {kind} as a key, expected text; quote a value that begins with {{ or [", key.at
                )
            yield key, self.node(next(self.events), depth + 1)


def _tag(event: NodeEvent) -> str | None:
    tag = getattr(event, "tag", None)
    return None if tag is None else str(tag)


def position(event: Event) -> Position:
    """Where an event begins."""
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def check_depth(depth: int, at: Position) -> None:
    """Raises LoadError for a value nested too deeply."""
    if depth > MAX_DEPTH:
        raise LoadError(f"found more than {MAX_DEPTH} levels of nesting, expected at most that many", at)
