"""The syntax tree of a CEL expression, read from the parser's own serialised form.

cel-expr-python shows no tree, but serialises `cel.expr.ParsedExpr` (protobuf wire format); decoding those few
messages here keeps protobuf out of the dependencies, and what we say about an expression always agrees with
what the library runs. Only trees that the parser made are decoded: it bounds their depth. Nothing here may
evaluate anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    id: int
    value: bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Identifier:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)` when `test`."""

    id: int
    operand: Node
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function, operator (`_+_`, `_[_]`, `_?._`) or method (then with `target`)."""

    id: int
    function: str
    target: Node | None
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListLiteral:
    id: int
    elements: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """`{key: value}`; `message` is the type's name where one was written (`google.protobuf.Any{}`)."""

    id: int
    message: str
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """What `map`, `filter`, `all`, `exists`, `exists_one` and `optMap` expand to."""

    id: int
    variable: str
    range: Node
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node


Node: TypeAlias = Constant | Identifier | Select | Call | ListLiteral | MapLiteral | Comprehension


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed expression; `offsets` gives the character at which a node (by id) was written."""

    root: Node
    offsets: dict[int, int]


def decode(serialised: bytes) -> Tree:
    """The tree of an unchecked expression's `serialize()` (a `google.protobuf.Any` around a ParsedExpr)."""
    parsed = _Message(_Message(serialised).bytes(2))
    offsets = {entry.number(1): entry.number(2) for entry in _Message(parsed.bytes(3)).messages(4)}
    return Tree(_node(_Message(parsed.bytes(2))), offsets)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return tuple(part for entry in node.entries for part in entry)
        case Comprehension():
            return node.range, node.initial, node.condition, node.step, node.result
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


class _Message:
    """One protobuf message: field number -> values as they came (integers, or bytes)."""

    def __init__(self, data: bytes) -> None:
        self.fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            match key & 7:
                case 0:
                    value: int | bytes
                    value, at = _varint(data, at)
                case 1:
                    value, at = data[at : at + 8], at + 8
                case 2:
                    size, at = _varint(data, at)
                    value, at = data[at : at + size], at + size
                case other:
                    raise ValueError(f"found wire type {other} in a CEL expression")
            self.fields.setdefault(key >> 3, []).append(value)

    def __contains__(self, field: int) -> bool:
        return field in self.fields

    def number(self, field: int) -> int:
        value = self.fields.get(field, [0])[-1]
        return value if isinstance(value, int) else 0

    def bytes(self, field: int) -> bytes:
        value = self.fields.get(field, [b""])[-1]
        return value if isinstance(value, bytes) else b""

    def text(self, field: int) -> str:
        return self.bytes(field).decode()

    def messages(self, field: int) -> list[_Message]:
        return [_Message(value) for value in self.fields.get(field, []) if isinstance(value, bytes)]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


# Field numbers of cel.expr.Expr (cel-spec, proto/cel/expr/syntax.proto).
def _node(message: _Message) -> Node:
    number = message.number(2)
    if 3 in message:
        return Constant(number, _constant(_Message(message.bytes(3))))
    if 4 in message:
        return Identifier(number, _Message(message.bytes(4)).text(1))
    if 5 in message:
        select = _Message(message.bytes(5))
        return Select(number, _node(_Message(select.bytes(1))), select.text(2), bool(select.number(3)))
    if 6 in message:
        call = _Message(message.bytes(6))
        target = _node(_Message(call.bytes(1))) if 1 in call else None
        return Call(number, call.text(2), target, tuple(_node(part) for part in call.messages(3)))
    if 7 in message:
        return ListLiteral(number, tuple(_node(part) for part in _Message(message.bytes(7)).messages(1)))
    if 8 in message:
        struct_ = _Message(message.bytes(8))
        return MapLiteral(number, struct_.text(1), tuple(_entry(part) for part in struct_.messages(2)))
    if 9 in message:
        fold = _Message(message.bytes(9))
        parts = [_node(_Message(fold.bytes(field))) for field in (2, 4, 5, 6, 7)]
        return Comprehension(number, fold.text(1), parts[0], fold.text(3), *parts[1:])
    raise ValueError(f"found no kind of CEL node in fields {sorted(message.fields)}")


def _entry(entry: _Message) -> tuple[Node, Node]:
    key = _node(_Message(entry.bytes(3))) if 3 in entry else Constant(entry.number(1), entry.text(2))
    return key, _node(_Message(entry.bytes(4)))


def _constant(message: _Message) -> bool | int | float | str | bytes | None:
    if 2 in message:
        return bool(message.number(2))
    if 3 in message:
        value = message.number(3)
        return value - (1 << 64) if value >> 63 else value
    if 4 in message:
        return message.number(4)
    if 5 in message:
        return float(struct.unpack("<d", message.bytes(5))[0])
    if 6 in message:
        return message.text(6)
    if 7 in message:
        return message.bytes(7)
    return None
