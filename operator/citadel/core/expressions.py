"""CEL, behind one small interface: compile once, learn what is read, evaluate over plain JSON.

Must never return an error as a value (the library does), never let one evaluation hold a process for seconds,
and never give back anything that is not JSON. JSON integers are CEL ints and numbers with a fraction doubles,
both ways; CEL does not mix the two in arithmetic.

Bounds: 4,096 characters, nesting of 32 (the library's), 10,000 iterations (the library's), about one second
estimated from the data (`core/cost.py`), 1 MiB of result. Measured on a 2-core virtual machine: 7 µs for two
comparisons of inputs (160 µs to compile them), 8 ms for the size of 5,000 rows of four fields, 0.4 to 0.5 s
for `map` over them, and 0.7 s for `filter` that keeps 4,000 with `map` after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from citadel.api.problems import suggestion
from citadel.core.cost import BUDGET, estimate, is_simple
from citadel.core.diagnostics import diagnose, explain
from citadel.core.jsonvalues import MAX_BYTES, MAX_DEPTH, Json
from citadel.core.references import (
    ROOTS,
    Chain,
    InvalidExpression,
    Read,
    UnknownName,
    chain_of,
    find_references,
    free_names,
)
from citadel.core.syntax import Node, Tree, decode

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, Value
    from cel_expr_python.cel import Expression as Program

__all__ = [
    "Expression",
    "ExpressionError",
    "InvalidExpression",
    "Read",
    "UnknownName",
    "compile_expression",
    "with_names",
]

MAX_SOURCE = 4096


#: What of a value an expression needs: everything (None), or some of an object's keys.
_Needs: TypeAlias = "dict[str, _Needs] | None"


class ExpressionError(ValueError):
    """An evaluation failed, with these data; `path` says where in a template."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Equal sources make equal expressions."""

    source: str
    reads: frozenset[Read] = field(compare=False)
    """The steps it refers to."""
    names: frozenset[str] = field(compare=False)
    """The roots it uses, of inputs, steps, item, index, execution."""
    plain_path: tuple[str | int, ...] | None = field(compare=False)
    """Its keys when it is nothing but a path, like `steps.load.output["rows"][0]`: that can be copied."""
    _program: Program = field(repr=False, compare=False)
    _root: Node = field(repr=False, compare=False)
    _chains: tuple[Chain, ...] = field(repr=False, compare=False)
    inner: tuple[Chain, ...] = field(repr=False, compare=False)
    """Every path in it that begins at a variable of map, filter and their like."""
    _needs: dict[str, _Needs] = field(repr=False, compare=False)
    _simple: bool = field(repr=False, compare=False)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Every path in it that begins at a root."""
        return self._chains

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """The value over `scope` ({"inputs": …, "steps": {name: {output, status, error}}, …}), of which
        only what the expression reads is converted. Raises ExpressionError.
        """
        for name in sorted(self.names):
            if name not in scope:
                raise ExpressionError(f"{name} is not available here")
        if not self._simple and (nanoseconds := estimate(self._root, scope)) > BUDGET:
            raise ExpressionError(
                f"would take too long: up to {max(nanoseconds / 1e9, 2):,.0f} s for the data it reads,"
                " at most 1 s is allowed; do this in a step's code"
            )
        data = {name: _prune(scope[name], needs) for name, needs in self._needs.items()}
        try:
            result = self._program.eval(data=data)
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise ExpressionError(explain(str(error), scope, self._chains)) from None
        if result.type() == cel.Type.ERROR:
            try:
                message = str(result.value())
            except TypeError:
                raise ExpressionError(
                    "the result is an optional; end the expression with .orValue(…), or .value()"
                ) from None
            raise ExpressionError(explain(message, scope, self._chains))
        return _Result().convert(result, 0)


def compile_expression(source: str) -> Expression:
    """Parses and checks bare CEL. Raises InvalidExpression: too long, syntax, unknown names and functions,
    types.
    """
    if len(source) > MAX_SOURCE:
        raise InvalidExpression(
            f"found {len(source)} characters, at most {MAX_SOURCE} are allowed", MAX_SOURCE
        )
    if not source.strip():
        raise InvalidExpression("found an empty expression")
    for index, character in enumerate(source):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise InvalidExpression(f"found the character U+{ord(character):04X}", index)
    tree = _parse(source)
    references = find_references(tree)
    try:
        program = _environment().compile(source)
    except RuntimeError as error:
        raise diagnose(source, str(error)) from None
    needs: dict[str, _Needs] = {}
    for chain in references.chains:
        _add_need(needs, chain)
    return Expression(
        source=source,
        reads=frozenset(references.reads),
        names=frozenset(references.names),
        plain_path=_plain_path(tree.root),
        _program=program,
        _root=tree.root,
        _chains=tuple(references.chains),
        inner=tuple(references.inner),
        _needs=needs,
        _simple=is_simple(tree.root),
    )


def with_names(source: str, names: Mapping[str, str], within: str) -> str:
    """The expression in one where each of these names stands for an expression: `[…].all(name, …)`.

    `within` is the macro: all for a condition, map for a value. Raises InvalidExpression, also for a name
    that is none of these.
    """
    if not source.strip():
        raise InvalidExpression("found an empty expression")
    found = free_names(_parse(source))
    for name, offset in found.items():
        if name not in names:
            expected = f"expected one of: {', '.join(names)}{suggestion(name, names)}"
            raise InvalidExpression(f"found the unknown name {name}, {expected}", offset)
    # Its end on a line of its own, where it may be part of a comment.
    whole = f"({source}\n)" if "//" in source else f"({source})"
    for name in reversed([name for name in names if name in found]):
        whole = f"[{names[name]}].{within}({name}, {whole})"
        whole = f"{whole}[0]" if within == "map" else whole
    compile_expression(whole)
    return whole


@cache
def _environment() -> Env:
    return cel.NewEnv(
        variables=dict.fromkeys(ROOTS, cel.Type.DYN),
        extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
    )


def _parse(source: str) -> Tree:
    try:
        return decode(_environment().compile(source, disable_check=True).serialize())
    except RuntimeError as error:
        raise diagnose(source, str(error)) from None


def _plain_path(root: Node) -> tuple[str | int, ...] | None:
    chain = chain_of(root)
    if chain is None or any(chain.optional) or chain.root.name not in ROOTS:
        return None
    return (chain.root.name, *chain.keys)


def _add_need(needs: dict[str, _Needs], chain: Chain) -> None:
    keys = [chain.root.name]
    for key in chain.keys:
        if not isinstance(key, str):
            break
        keys.append(key)
    for key in keys[:-1]:
        below = needs.setdefault(key, {})
        if below is None:
            return
        needs = below
    needs[keys[-1]] = None


def _prune(value: Json, needs: _Needs) -> Json:
    if needs is None or not isinstance(value, dict):
        return value
    return {key: _prune(value[key], below) for key, below in needs.items() if key in value}


class _Result:
    """Converts the library's value to JSON, counting bytes.

    The library's own `plain_value()` is faster, but crashes on an optional inside a map, unrefs None once too
    often (harmless only since Python 3.12), and would first build what is too large to keep.
    """

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def convert(self, value: Value, depth: int) -> Json:
        """The value as JSON; raises ExpressionError for what JSON does not have, and for too much."""
        kind = value.type().name().partition("<")[0]
        if kind == "NULL":
            self._take(4)
            return None
        if kind == "ERROR":
            raise ExpressionError("the result holds an optional; use .orValue(…)")
        found: object = value.value()
        match found:
            case bool():
                self._take(4)
                return found
            case int():
                self._take(max(found.bit_length() - 1, 0) * 30102 // 100_000 + 1)
                return found
            case float():
                if not math.isfinite(found):
                    raise ExpressionError(f"the result is {found}, JSON numbers are finite")
                self._take(3)
                return found
            case str():
                if "\0" in found:
                    raise ExpressionError("the result holds the character U+0000")
                self._take(len(found.encode()) + 2)
                return found
            case datetime():
                return found.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
            case timedelta():
                return _duration(found)
            case list():
                self._nested(depth, len(found))
                return [self.convert(item, depth + 1) for item in found]
            case dict():
                self._nested(depth, len(found))
                return {self._key(key): self.convert(item, depth + 1) for key, item in found.items()}
            case _:
                raise ExpressionError(f"the result is of type {kind.lower()}, which JSON does not have")

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise ExpressionError(f"the result has the key {key!r}, the keys of JSON objects are strings")
        self._take(len(key.encode()) + 3)
        return key

    def _nested(self, depth: int, items: int) -> None:
        if depth >= MAX_DEPTH:
            raise ExpressionError(f"the result is nested more than {MAX_DEPTH} levels deep")
        self._take(2 + max(items - 1, 0))

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ExpressionError(f"the result is larger than {MAX_BYTES} bytes as JSON")


def _duration(span: timedelta) -> str:
    """Seconds, as protobuf's JSON writes durations: 90s, 0.5s, -1.25s."""
    microseconds = span // timedelta(microseconds=1)
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{'-' if microseconds < 0 else ''}{seconds}{tail}s"
