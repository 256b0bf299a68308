"""What a CEL expression refers to: which steps and attributes it reads, which data it needs, which names it
may not use.

Works on the syntax tree alone. Must never let an expression through that names anything but the roots below
and the variables of its own comprehensions: order and skipping of steps are derived from what is found here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from citadel.api.problems import suggestion
from citadel.core.syntax import (
    Call,
    Comprehension,
    Constant,
    Identifier,
    MapLiteral,
    Node,
    Select,
    Tree,
    children,
)

ROOTS = (
    "inputs",
    "steps",
    "item",
    "index",
    "iteration",
    "previous",
    "output",
    "error",
    "execution",
    "args",
)
#: Of a step; the last two of one that asks models.
ATTRIBUTES = ("output", "status", "error", "tools", "usage")
_TYPES = frozenset(("bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"))
_NAMESPACES = frozenset(("optional", "strings"))
_CALENDAR = re.compile("get(Date|DayOf(Month|Week|Year)|FullYear|Hours|Milliseconds|Minutes|Month|Seconds)")
_ZONE = re.compile(r"[+-]?\d\d:\d\d|[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}")
_INDEXES = {"_[_]": False, "_?._": True, "_[?_]": True}


_LITERALS = {"True": "true", "False": "false", "None": "null", "nil": "null", "undefined": "null"}
#: What the macros take that bind a variable, and are no functions.
_MACROS = {
    "map": "a variable and an expression over it: rows.map(row, row.name)",
    "filter": "a variable and a condition: rows.filter(row, row.size > 1)",
    "all": "a variable and a condition: rows.all(row, row.size > 1)",
    "exists": "a variable and a condition: rows.exists(row, row.size > 1)",
    "exists_one": "a variable and a condition: rows.exists_one(row, row.size > 1)",
}


class InvalidExpression(ValueError):
    """The expression can never run. `offset` is the character it is about (0 is the first), `path` the
    place in a template.
    """

    def __init__(self, message: str, offset: int = 0, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.offset = offset
        self.path = path


class UnknownName(InvalidExpression):
    """A name that means nothing; `hint` says what may be meant."""

    def __init__(self, name: str, expected: str, hint: str, offset: int) -> None:
        super().__init__(f"found the unknown name {name}, expected {expected}{hint}", offset)
        self.name, self.hint = name, hint


@dataclass(frozen=True, slots=True)
class Read:
    """A step that an expression refers to; `attribute` is one of ATTRIBUTES, or None for the step as a
    whole.

    `optional`: the author provided for its absence, by `.?`, `[?…]` or has() anywhere in the same expression.
    """

    step: str
    attribute: str | None
    optional: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """A root and the constant keys after it: `steps.load.?output["rows"][0]`."""

    root: Identifier
    keys: tuple[str | int, ...]
    optional: tuple[bool, ...]
    """For each key, whether it may be missing."""
    over: Chain | None = None
    """Where the root is a variable of map, filter and their like: what they go through."""


@dataclass(slots=True)
class References:
    """All that one expression refers to."""

    names: set[str] = field(default_factory=set)
    reads: set[Read] = field(default_factory=set)
    chains: list[Chain] = field(default_factory=list)
    inner: list[Chain] = field(default_factory=list)
    """Those of variables that go through what a chain leads to."""


def find_references(tree: Tree) -> References:
    """Collects references; raises InvalidExpression for unknown names and for steps without a constant
    name.
    """
    visitor = _Visitor(tree)
    visitor.visit(tree.root, {})
    found = visitor.found
    # has(steps.a.output) ? steps.a.output : 0 provides for the absence just as .? does.
    tested = {(read.step, read.attribute) for read in found.reads if read.optional}
    found.reads = {
        Read(read.step, read.attribute, read.optional or (read.step, read.attribute) in tested)
        for read in found.reads
    }
    return found


def free_names(tree: Tree) -> dict[str, int]:
    """The names that an expression takes from outside, whatever they mean, and where each stands first."""
    found: dict[str, int] = {}

    def visit(node: Node, bound: frozenset[str]) -> None:
        match node:
            case Identifier(name=name) if name not in bound | _TYPES | _NAMESPACES:
                offset = tree.offsets.get(node.id, 0)
                found[name] = min(offset, found.get(name, offset))
            case Comprehension():
                visit(node.range, bound)
                inner = bound | {node.variable, node.accumulator}
                for part in (node.initial, node.condition, node.step, node.result):
                    visit(part, inner)
            case _:
                for child in children(node):
                    visit(child, bound)

    visit(tree.root, frozenset())
    return found


def chain_of(node: Node) -> Chain | None:
    """The node as a root followed by constant keys only, or None."""
    keys: list[str | int] = []
    optional: list[bool] = []
    while True:
        match node:
            case Identifier():
                return Chain(node, tuple(reversed(keys)), tuple(reversed(optional)))
            case Select():
                keys.append(node.field)
                optional.append(node.test)
                node = node.operand
            case Call(function=function, target=None, arguments=(operand, Constant(value=key))) if (
                function in _INDEXES and isinstance(key, str | int) and not isinstance(key, bool)
            ):
                keys.append(key)
                optional.append(_INDEXES[function])
                node = operand
            case _:
                return None


#: Variables that are bound, and what each goes through where that is a chain.
_Bound: TypeAlias = "Mapping[str, Chain | None]"


def _gone_through(node: Node, bound: _Bound) -> Chain | None:
    """What a variable goes through, as a chain; None where it is something else."""
    chain = chain_of(node)
    if chain is None or chain.root.name not in bound:
        return chain
    over = bound[chain.root.name]
    return None if over is None else replace(chain, over=over)


class _Visitor:
    def __init__(self, tree: Tree) -> None:
        self.offsets = tree.offsets
        self.found = References()

    def visit(self, node: Node, bound: _Bound) -> None:
        chain = chain_of(node)
        if chain is not None:
            if chain.root.name not in bound:
                self._chain(chain, node)
            elif (over := bound[chain.root.name]) is not None:
                self.found.inner.append(replace(chain, over=over))
            return
        match node:
            case Comprehension():
                inner = {**bound, node.accumulator: None}
                self.visit(node.range, bound)
                self.visit(node.initial, bound)
                turn = {**inner, node.variable: _gone_through(node.range, bound)}
                self.visit(node.condition, turn)
                self.visit(node.step, turn)
                self.visit(node.result, inner)
            case Call(target=Identifier(name=name)) if name in _NAMESPACES - bound.keys():
                for argument in node.arguments:
                    self.visit(argument, bound)
            case MapLiteral(message=message) if message:
                self._refuse(f'found {message}{{}}, expected a map: {{"key": value}}', node)
            case Call(function=function, target=target, arguments=(zone,)) if (
                target is not None and _CALENDAR.fullmatch(function)
            ):
                self._zone(zone)
                self.visit(target, bound)
            case Call(function="_-_", arguments=(left, right)):
                self._subtraction(left, right, bound)
                self.visit(left, bound)
                self.visit(right, bound)
            case Call(function=function, target=target) if target is not None and function in _MACROS:
                self._refuse(f"{function} takes {_MACROS[function]}", node)
            case _:
                for child in children(node):
                    self._visit_below(child, node, bound)

    def _visit_below(self, child: Node, node: Node, bound: _Bound) -> None:
        """Visits a part of a node. A name of nothing may be the variable of a macro that is misspelt."""
        try:
            self.visit(child, bound)
        except InvalidExpression:
            if isinstance(node, Call) and node.target is not None and isinstance(child, Identifier):
                near = suggestion(node.function, _MACROS)
                if near:
                    self._refuse(f"found the unknown function {node.function}{near}", node)
            raise

    def _chain(self, chain: Chain, node: Node) -> None:
        name = chain.root.name
        if name in _TYPES and not chain.keys:
            return
        if name not in ROOTS:
            close = difflib.get_close_matches(name, ROOTS, 1)
            meant = _LITERALS.get(name, close[0] if close else "")
            hint = f"; did you mean {meant}?" if meant else ""
            expected = f"one of: {', '.join(ROOTS)}"
            raise UnknownName(name, expected, hint, self.offsets.get(chain.root.id, 0))
        self.found.names.add(name)
        self.found.chains.append(chain)
        if name == "steps":
            self._step(chain, node)

    def _step(self, chain: Chain, node: Node) -> None:
        keys, optional = chain.keys, chain.optional
        if not keys or not isinstance(keys[0], str):
            self._refuse(
                "found steps without the name of a step, expected steps.<name>.output, .status or .error",
                node,
            )
        step = str(keys[0])
        if len(keys) == 1:
            self.found.reads.add(Read(step, None, optional[0]))
            return
        if keys[1] not in ATTRIBUTES:
            self._refuse(
                f"found steps.{step}.{keys[1]}, but a step has {', '.join(ATTRIBUTES)}"
                f" (its results are under steps.{step}.output)",
                node,
            )
        self.found.reads.add(Read(step, str(keys[1]), optional[0] or optional[1]))

    def _zone(self, zone: Node) -> None:
        """The library opens whatever file a time zone names: /dev/stdout would block for ever."""
        if not (isinstance(zone, Constant) and isinstance(zone.value, str) and _ZONE.fullmatch(zone.value)):
            self._refuse('a time zone is a literal like "Europe/Paris", "UTC" or "+02:00"', zone)

    def _subtraction(self, left: Node, right: Node, bound: _Bound) -> None:
        """`steps.load-data.output` is steps.load minus data.output; nobody ever means that."""
        chain = chain_of(left)
        if chain is None or chain.root.name in bound or chain.root.name not in ROOTS or not chain.keys:
            return
        while not isinstance(right, Identifier) and (below := children(right)):
            right = below[0]
        if not isinstance(right, Identifier) or right.name in bound:
            return
        written = f"{chain.root.name}.{'.'.join(str(key) for key in chain.keys)}"
        if chain.root.name == "steps" and len(chain.keys) == 1:
            self._refuse(
                f"{written}-{right.name} is a subtraction; the names of steps hold letters, digits and _,"
                f" like {written}_{right.name}",
                right,
            )
        if right.name not in ROOTS and right.name not in _TYPES:
            before, last = written.rsplit(".", 1)
            self._refuse(
                f"{written}-{right.name} is a subtraction;"
                f' for a key that holds - write {before}["{last}-{right.name}"]',
                right,
            )

    def _refuse(self, message: str, node: Node) -> None:
        raise InvalidExpression(message, self.offsets.get(node.id, 0))
