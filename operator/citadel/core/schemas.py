"""What a JSON Schema is made of: its subschemas, its local references, and how much work it can cause.

Must never follow a reference out of the schema, nor accept one that could keep a validator busy for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias
from urllib.parse import unquote

from citadel.core.cost import pattern_size
from citadel.core.jsonvalues import Json, canonical, join_path, kind_of

Path: TypeAlias = "tuple[str | int, ...]"

#: Subschemas (references followed) and pattern instructions that one value may have to be checked against.
MAX_WEIGHT = 20_000
_SCHEMAS = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
)
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_REFUSED = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$id", "$vocabulary")


class InvalidSchema(ValueError):
    """The schema cannot be used; `path` leads to the place inside it."""

    def __init__(self, message: str, path: Path = ()) -> None:
        place = shown_path(path)
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.path = path


def weigh(root: dict[str, Json]) -> float:
    """The checks that one value may meet, following references; raises InvalidSchema for what is recursive,
    not local, or too complex.
    """
    return _Weigher(root).weigh(root, ())


class _Weigher:
    """Counts the checks one value may meet, following references; refuses recursion and what is not local."""

    def __init__(self, root: dict[str, Json]) -> None:
        self.root = root
        self.done: dict[str, float] = {}
        self.open: list[str] = []

    def weigh(self, schema: Json, path: Path) -> float:
        if not isinstance(schema, dict):
            return 1
        weight = 1.0
        for keyword in _REFUSED:
            if keyword in schema:
                raise InvalidSchema(f"{keyword} is not supported", (*path, keyword))
        for keyword in ("pattern", "patternProperties"):
            patterns = schema.get(keyword)
            for pattern in patterns if isinstance(patterns, dict) else [patterns]:
                weight += _pattern_weight(pattern) if isinstance(pattern, str) else 0
        enum = schema.get("enum")
        weight += len(enum) if isinstance(enum, list) else 0
        if "$ref" in schema:
            weight += self._reference(schema["$ref"], (*path, "$ref"))
        for at, below in subschemas(schema):
            if at[0] not in ("$defs", "definitions"):
                weight += self.weigh(below, (*path, *at))
        if weight > MAX_WEIGHT:
            raise InvalidSchema(f"too complex: one value may meet more than {MAX_WEIGHT} checks", path)
        return weight

    def _reference(self, reference: Json, path: Path) -> float:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise InvalidSchema(
                f"found {shown_value(reference)}, expected a local reference like #/$defs/name", path
            )
        if reference in self.open:
            raise InvalidSchema(
                f"found {shown_value(reference)}, which leads back to itself: recursion is not supported",
                path,
            )
        if reference not in self.done:
            target, at = resolve(self.root, reference)
            if target is None:
                raise InvalidSchema(f"found {shown_value(reference)}, which is not in the schema", path)
            self.open.append(reference)
            self.done[reference] = self.weigh(target, at)
            self.open.pop()
        return self.done[reference]


def _pattern_weight(pattern: str) -> float:
    # A class of Unicode (\p{L}) is some hundred ranges: such patterns take longest to compile.
    return pattern_size(pattern) * (20 if "\\p" in pattern or "\\P" in pattern else 1)


def subschemas(schema: dict[str, Json]) -> Iterator[tuple[Path, Json]]:
    """The subschemas directly below, with the keys that lead to them."""
    for keyword, value in schema.items():
        if keyword in _SCHEMAS or keyword in _UNEVALUATED:
            yield (keyword,), value
        elif keyword in _LISTS and isinstance(value, list):
            yield from (((keyword, index), item) for index, item in enumerate(value))
        elif keyword in _MAPS and isinstance(value, dict):
            yield from (((keyword, name), item) for name, item in value.items())


def resolve(root: dict[str, Json], reference: str) -> tuple[Json, Path]:
    """The place a local reference leads to; (None, ()) when it does not exist."""
    node: Json = root
    keys: list[str | int] = []
    for part in unquote(reference).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
            keys.append(key)
        elif isinstance(node, list) and key.isdecimal() and len(key) < 10 and int(key) < len(node):
            node = node[int(key)]
            keys.append(int(key))
        else:
            return None, ()
    return node, tuple(keys)


def references_in(schema: dict[str, Json]) -> Iterator[str]:
    """Every `$ref` in the schema and its subschemas, not followed."""
    stack: list[Json] = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                yield reference
            stack.extend(below for _, below in subschemas(node))


def shown_value(value: object, kind: bool = True) -> str:
    """A value as messages show it: short, with its type."""
    try:
        text = canonical(value).decode()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}…"
    return f"{text} ({kind_of(value)})" if kind and not isinstance(value, str) and value is not None else text


def shown_path(path: Path) -> str:
    """A path as people write it: `properties.a[0]`."""
    shown = ""
    for key in path:
        shown = join_path(shown, key)
    return shown
