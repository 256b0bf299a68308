"""An upper bound on the time (and so the memory) one evaluation of an expression takes, given the data it
will see.

The CEL library stops after 10,000 iterations, but an iteration may scan or copy a megabyte: strings double
with each chained `map(x, x + x)`, `contains` is quadratic, `map` and `filter` copy their result on every
append. Evaluation cannot be interrupted and holds the interpreter, so what could take long is refused before
it starts. Bounds come from the actual sizes of what is read; they may refuse what would just have passed, and
must never pass what runs for seconds.

Nanoseconds per operation were measured on a 2-core virtual machine with cel-expr-python 0.1.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from citadel.core.jsonvalues import Json
from citadel.core.references import ROOTS, chain_of
from citadel.core.syntax import (
    Call,
    Comprehension,
    Constant,
    Identifier,
    ListLiteral,
    MapLiteral,
    Node,
    Select,
    walk,
)

#: Nanoseconds an evaluation may be estimated to take. What passes took 1.2 s at most.
BUDGET = 1_100_000_000
#: The library's own limit on iterations in one evaluation; it has no option for it.
MAX_ITERATIONS = 10_000

_NODE = 100.0
_APPEND = 20.0  # per item of the range, squared: map over 5,000 items takes 0.4 to 0.5 s
_COMPARE = 15.0  # per byte of JSON
_COPY = 50.0  # per byte of JSON; stands for memory too, 16 bytes a list element
_CONVERT = 120.0  # per byte, from Python to CEL
_SEARCH = 0.05  # per byte of text and byte of needle
_MATCH = 10.0  # per byte of text and instruction of the pattern
_FLAG = 8.0  # bytes of a boolean or a number

_FLAGS = frozenset(
    ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "!_", "@in", "size", "hasValue")
)
_SEARCHES = frozenset(("contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "split", "replace"))
_CHOICES = frozenset(("_?_:_", "orValue", "or"))
_TESTS = frozenset(("contains", "startsWith", "endsWith", "indexOf", "lastIndexOf"))
_COSTLY = _SEARCHES | {"matches", "format", "join"}


@dataclass(frozen=True, slots=True)
class Extent:
    """Bounds on a value: its bytes as JSON, the bytes of its largest part, how many parts it has."""

    size: float
    item: float
    count: float


_SCALAR = Extent(_FLAG, _FLAG, 0)


def is_simple(root: Node) -> bool:
    """Whether the expression is bounded by its own length, whatever it reads: then there is nothing to
    estimate.
    """
    additions = reads = 0
    for node in walk(root):
        match node:
            case Comprehension():
                return False
            case Call(function=function) if function in _COSTLY:
                return False
            case Call(function="_+_"):
                additions += 1
            case Identifier():
                reads += 1
    return additions <= 8 and reads <= 8


def estimate(root: Node, scope: Mapping[str, Json]) -> float:
    """Nanoseconds that evaluating `root` over `scope` takes at most, roughly."""
    estimator = _Estimator(scope)
    estimator.extent(root, {}, 1)
    return estimator.spent


def pattern_size(pattern: str) -> float:
    """About how many instructions a regular expression compiles to: counted repetitions are unrolled."""
    groups = [0.0]
    last = 0.0
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
        if character == "(":
            groups.append(0.0)
            last = 0.0
        elif character == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif character == "{" and (end := pattern.find("}", at)) > 0:
            bounds = [
                int(bound)
                for bound in pattern[at + 1 : end].split(",")
                if bound.isdecimal() and len(bound) < 6
            ]
            groups[-1] += last * max(max(bounds, default=1) - 1, 0)
            last *= max(max(bounds, default=1), 1)
            at = end
        else:
            last = 1.0
            groups[-1] += 1
        at += 1
    return sum(groups) + 1


class _Estimator:
    def __init__(self, scope: Mapping[str, Json]) -> None:
        self.scope = scope
        self.spent = 0.0
        self._appends = float(MAX_ITERATIONS)
        self._measured: dict[tuple[str, tuple[str | int, ...]], tuple[Extent, bool]] = {}

    def extent(self, node: Node, bound: Mapping[str, Extent], times: float) -> Extent:
        """The bounds of a node that is evaluated `times` times, its cost added to what is spent."""
        self.spent += times * _NODE
        known = self._known(node, bound)
        if known is not None:
            return known[0]
        match node:
            case Constant(value=value):
                size = float(len(value)) if isinstance(value, str | bytes) else _FLAG
                return Extent(size, 1, size)
            case Identifier(name=name):
                return bound.get(name, _SCALAR)
            case Select(operand=operand):
                return _part(self.extent(operand, bound, times))
            case ListLiteral(elements=elements):
                parts = [self.extent(element, bound, times) for element in elements]
            case MapLiteral(entries=entries):
                parts = [self.extent(part, bound, times) for entry in entries for part in entry]
            case Comprehension():
                return self._comprehension(node, bound, times)
            case Call():
                return self._call(node, bound, times)
        return Extent(
            sum(part.size + 1 for part in parts) + 2, max((p.size for p in parts), default=0), len(parts)
        )

    def _known(self, node: Node, bound: Mapping[str, Extent]) -> tuple[Extent, bool] | None:
        """The extent of what a constant chain of keys really leads to, and whether that is a text."""
        chain = chain_of(node)
        if chain is None or chain.root.name in bound or chain.root.name not in ROOTS:
            return None
        key = (chain.root.name, chain.keys)
        if key not in self._measured:
            value: object = self.scope.get(chain.root.name)
            for step in chain.keys:
                if isinstance(value, dict):
                    value = value.get(step)
                elif isinstance(value, list) and isinstance(step, int) and -1 < step < len(value):
                    value = value[step]
                else:
                    value = None
            self._measured[key] = (_measure(value), isinstance(value, str))
            self.spent += self._measured[key][0].size * _CONVERT
        return self._measured[key]

    def _call(self, node: Call, bound: Mapping[str, Extent], times: float) -> Extent:
        operands = node.arguments if node.target is None else (node.target, *node.arguments)
        parts = [self.extent(operand, bound, times) for operand in operands]
        sizes = [part.size for part in parts]
        total = sum(sizes)
        match node.function:
            case "_==_" | "_!=_":
                self.spent += times * _COMPARE * min(sizes)
            case "@in":
                self.spent += times * _COMPARE * sizes[-1]
            case "size":
                known = self._known(operands[0], bound)
                self.spent += times * (total if known is None or known[1] else 0)
            case "matches":
                pattern = operands[-1]
                literal = pattern.value if isinstance(pattern, Constant) else None
                length = pattern_size(literal) if isinstance(literal, str) else sizes[-1] * 150
                self.spent += times * (5000 + 200 * length + _MATCH * length * sizes[0])
                return _SCALAR
            case function if function in _SEARCHES:
                needle = sizes[1] if len(sizes) > 1 else 1
                self.spent += times * (total + _SEARCH * sizes[0] * needle)
                if function == "replace":
                    total = sizes[0] + (sizes[0] + 1) * (sizes[2] if len(sizes) > 2 else 1)
                    self.spent += times * total * _COPY
                elif function == "split":
                    self.spent += times * sizes[0] * _COPY
                    return Extent(sizes[0] * 4, sizes[0], sizes[0] + 1)
                return _SCALAR if function in _TESTS else Extent(total, total, total)
            case function if function in _CHOICES:
                parts = parts[1:] if function == "_?_:_" else parts
                return Extent(
                    *(max(getattr(part, bound) for part in parts) for bound in ("size", "item", "count"))
                )
            case "_[_]" | "_?._" | "_[?_]":
                return _part(parts[0])
            case "join":
                total = sizes[0] + (parts[0].count + 1) * (sizes[1] if len(sizes) > 1 else 0)
                self.spent += times * total * _COPY
            case "format":
                total += 1000 * sizes[0]  # %.1000f
                self.spent += times * total * _COPY
            case function if function not in _FLAGS:
                self.spent += times * total * _COPY
        if node.function in _FLAGS:
            return _SCALAR
        if node.function == "_+_":
            return Extent(total, max(part.item for part in parts), sum(part.count for part in parts))
        return Extent(total + 64, max(total, 64), total)

    def _comprehension(self, node: Comprehension, bound: Mapping[str, Extent], times: float) -> Extent:
        range_ = self.extent(node.range, bound, times)
        initial = self.extent(node.initial, bound, times)
        count = min(range_.count, MAX_ITERATIONS + 1)
        inner_times = min(times * count, MAX_ITERATIONS)
        item = Extent(range_.item, range_.item, range_.item / 2)
        inner = {**bound, node.variable: item, node.accumulator: Extent(0, 0, 0)}
        self.extent(node.condition, inner, inner_times)
        step = self.extent(node.step, inner, inner_times)
        if isinstance(node.initial, ListLiteral):
            # All comprehensions of an evaluation share one budget of iterations.
            appends = min(times * count, self._appends)
            self._appends -= appends
            self.spent += appends * min(count, MAX_ITERATIONS) * _APPEND
            initial = Extent(
                initial.size + count * step.size, max(initial.item, step.item), count * max(step.count, 1)
            )
        return self.extent(node.result, {**bound, node.accumulator: initial}, times)


def _part(whole: Extent) -> Extent:
    return Extent(whole.item, whole.item, whole.item / 2)


def _measure(value: object) -> Extent:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    match value:
        case str():
            return Extent(len(value), 1, 0)
        case list() | dict():
            items = value if isinstance(value, list) else [part for entry in value.items() for part in entry]
            sizes = [len(encode(item)) + 1 for item in items]
            return Extent(sum(sizes), max(sizes, default=0), len(value))
        case _:
            return _SCALAR
