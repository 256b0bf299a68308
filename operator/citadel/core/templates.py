"""Values with `${…}` in their strings: compiled once, evaluated over a scope.

A string that is exactly one `${…}` keeps the type of its value; inside a longer string, strings stand raw and
everything else as compact JSON; `$${` is a literal `${`. Only values are templated, never the keys of
objects, and never what was substituted: a result that holds `${` stays as it is. A plain path like
`${steps.load.output.rows}` is copied, not evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from citadel.core.diagnostics import missing_key
from citadel.core.expressions import (
    MAX_SOURCE,
    Expression,
    ExpressionError,
    InvalidExpression,
    Read,
    compile_expression,
)
from citadel.core.jsonvalues import MAX_BYTES, MAX_DEPTH, Json, canonical, join_path
from citadel.core.references import Chain

__all__ = ["Template", "compile_template", "copy_path", "rewritten"]

#: Expressions in one value: compiling one takes some 100 µs.
MAX_EXPRESSIONS = 1000

# What may hide a brace inside CEL: strings (raw ones know no escapes) and comments.
_CEL_TOKEN = re.compile(
    r"""
      (?:[bB]?[rR][bB]?)(?: \"{3}.*?\"{3} | '{3}.*?'{3} | "[^"\n]*" | '[^'\n]*' )
    | \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3}
    | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
    | //[^\n]*
    | [{}]
    | \w+ | .
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Text:
    """A longer string: literal pieces and expressions in their order."""

    parts: tuple[str | Expression, ...]


_Node: TypeAlias = "bool | int | float | str | Expression | _Text | list[_Node] | dict[str, _Node] | None"


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled value."""

    reads: frozenset[Read]
    """The steps its expressions refer to."""
    names: frozenset[str]
    """The roots they use."""
    constant: bool
    """Whether there is nothing to evaluate."""
    plain_path: tuple[str | int, ...] | None
    """The keys, when the whole value is exactly one plain path."""
    _tree: _Node = field(repr=False)

    @property
    def chains(self) -> tuple[Chain, ...]:
        """Every path in its expressions that begins at a root."""
        return tuple(chain for expression in _expressions(self._tree) for chain in expression.chains)

    @property
    def inner(self) -> tuple[Chain, ...]:
        """Every path in it that begins at a variable of map, filter and their like."""
        return tuple(chain for expression in _expressions(self._tree) for chain in expression.inner)

    def evaluate(self, scope: Mapping[str, Json]) -> Json:
        """The value over `scope`, which it may share parts with: treat both as read-only.

        Raises ExpressionError, with the place in the tree as its `path`; also for more than 1 MiB of JSON
        substituted.
        """
        return _Evaluation(scope).value(self._tree, "")


def compile_template(value: Json) -> Template:
    """Compiles a JSON tree; raises InvalidExpression, its `path` the place in the tree, its `offset` that
    in the string.
    """
    tree = _compile(value, "", 0)
    expressions = list(islice(_expressions(tree), MAX_EXPRESSIONS + 1))
    if len(expressions) > MAX_EXPRESSIONS:
        raise InvalidExpression(f"found more than {MAX_EXPRESSIONS} times ${{…}} in one value")
    return Template(
        reads=frozenset(read for expression in expressions for read in expression.reads),
        names=frozenset(name for expression in expressions for name in expression.names),
        constant=not expressions,
        plain_path=tree.plain_path if isinstance(tree, Expression) else None,
        _tree=tree,
    )


def rewritten(value: Json, change: Callable[[str], str]) -> Json:
    """The tree with other expressions in its texts; raises InvalidExpression for one that has no end."""
    match value:
        case str():
            return _rewritten_text(value, change)
        case list():
            return [rewritten(item, change) for item in value]
        case dict():
            return {key: rewritten(item, change) for key, item in value.items()}
        case _:
            return value


def _rewritten_text(text: str, change: Callable[[str], str]) -> str:
    parts, at = "", 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            parts, at = parts + text[at : start + 2], start + 2
            continue
        end = _closing_brace(text, start + 2, "")
        parts, at = f"{parts}{text[at:start]}${{{change(text[start + 2 : end])}}}", end + 1
    return parts + text[at:]


def copy_path(scope: Mapping[str, Json], path: tuple[str | int, ...]) -> Json:
    """What a plain path leads to, without CEL; raises ExpressionError that names the part which does not
    exist.
    """
    value: object = scope
    for key in path:
        match value, key:
            case Mapping(), str() if key in value:
                value = value[key]
            case list(), int() if 0 <= key < len(value):
                value = value[key]
            case _:
                raise ExpressionError(missing_key(scope, path, ()) or "the path leads nowhere")
    return value  # type: ignore[return-value]


def _compile(value: Json, path: str, depth: int) -> _Node:
    if depth > MAX_DEPTH:
        raise InvalidExpression(f"nested more than {MAX_DEPTH} levels deep", 0, f"{path[:40]}…")
    match value:
        case str():
            return _compile_text(value, path)
        case list():
            return [_compile(item, join_path(path, index), depth + 1) for index, item in enumerate(value)]
        case dict():
            for key in value:
                if "${" in key.replace("$${", ""):
                    raise InvalidExpression(
                        f"found ${{…}} in the key {key!r}; only values are templated", 0, path
                    )
            return {
                key.replace("$${", "${"): _compile(item, join_path(path, key), depth + 1)
                for key, item in value.items()
            }
        case _:
            return value


def _compile_text(text: str, path: str) -> _Node:
    parts: list[str | Expression] = []
    literal = ""
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            literal += text[at : start - 1] + "${"
            at = start + 2
            continue
        literal += text[at:start]
        end = _closing_brace(text, start + 2, path)
        source = text[start + 2 : end]
        try:
            expression = compile_expression(source)
        except InvalidExpression as error:
            raise InvalidExpression(error.message, start + 2 + error.offset, path) from None
        if literal:
            parts.append(literal)
        parts.append(expression)
        literal = ""
        at = end + 1
    literal += text[at:]
    if not parts:
        return literal
    if literal:
        parts.append(literal)
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0]
    return _Text(tuple(parts))


def _closing_brace(text: str, start: int, path: str) -> int:
    depth = 0
    for token in _CEL_TOKEN.finditer(text, start, start + MAX_SOURCE + 1):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            if depth == 0:
                return token.start()
            depth -= 1
    within = f" within {MAX_SOURCE} characters" if len(text) > start + MAX_SOURCE else ""
    raise InvalidExpression(
        f"found ${{ without its closing }}{within}; write $${{ for a literal ${{", start - 2, path
    )


def _expressions(node: _Node) -> Iterator[Expression]:
    match node:
        case Expression():
            yield node
        case _Text(parts=parts):
            yield from (part for part in parts if isinstance(part, Expression))
        case list() | dict():
            for item in node if isinstance(node, list) else node.values():
                yield from _expressions(item)


class _Evaluation:
    """One evaluation: every expression once, however often it occurs, and a bound on what is substituted."""

    def __init__(self, scope: Mapping[str, Json]) -> None:
        self.scope = scope
        self.left = MAX_BYTES
        self._values: dict[str, tuple[Json, int]] = {}

    def value(self, node: _Node, path: str) -> Json:
        match node:
            case Expression():
                return self._expression(node, path)[0]
            case _Text(parts=parts):
                return "".join(part if isinstance(part, str) else self._as_text(part, path) for part in parts)
            case list():
                return [self.value(item, join_path(path, index)) for index, item in enumerate(node)]
            case dict():
                return {key: self.value(item, join_path(path, key)) for key, item in node.items()}
            case _:
                return node

    def _as_text(self, expression: Expression, path: str) -> str:
        value, _ = self._expression(expression, path)
        return value if isinstance(value, str) else canonical(value).decode()

    def _expression(self, expression: Expression, path: str) -> tuple[Json, int]:
        known = self._values.get(expression.source)
        if known is None:
            try:
                plain = expression.plain_path
                value = expression.evaluate(self.scope) if plain is None else copy_path(self.scope, plain)
            except ExpressionError as error:
                raise ExpressionError(error.message, path) from None
            known = self._values[expression.source] = value, len(canonical(value))
        self.left -= known[1]
        if self.left < 0:
            raise ExpressionError(
                f"what is substituted here and before is larger than {MAX_BYTES} bytes as JSON", path
            )
        return known
