"""What is known of a value before there is one: a part of a JSON Schema, and the way into it.

Must never refuse what may exist: where a schema leaves something open, what lies there is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from citadel.api.problems import suggestion
from citadel.core.jsonvalues import Json, join_path
from citadel.core.schemas import resolve

#: Keywords that may speak of fields which `properties` does not name.
_OPEN = frozenset(
    (
        "allOf", "anyOf", "dependentSchemas", "else", "if", "oneOf", "patternProperties", "then",
        "unevaluatedProperties",
    )
)  # fmt: skip
_SPEAKS_OF_FIELDS = _OPEN | {"properties", "additionalProperties", "items", "prefixItems"}
_NAMES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}
_MOST_NAMED = 12


class NoSuchPart(LookupError):
    """A path that leads nowhere in any value of this shape; the message says what there is instead."""


@dataclass(frozen=True)
class Shape:
    """What is known of a value. `root` is the schema to whose parts references lead."""

    node: Json
    root: dict[str, Any]
    closed: bool = False
    """Whether fields that nothing speaks of are refused, as with inputs."""

    @property
    def kinds(self) -> frozenset[str]:
        """Types of JSON that it may have; none if that is unknown."""
        node = self._followed()
        given = node.get("type") if isinstance(node, dict) else None
        if isinstance(given, str):
            return frozenset((given,))
        return frozenset(kind for kind in given if isinstance(kind, str)) if isinstance(given, list) else _ANY

    def part(self, written: str, keys: Sequence[str | int], optional: Sequence[bool]) -> Shape:
        """What a path leads to; `optional` says of each key whether it may be absent. Raises NoSuchPart."""
        shape = self
        for key, may_lack in zip(keys, optional, strict=True):
            found = shape._below(written, key, may_lack)
            if found is None:
                return UNKNOWN
            shape, written = found, join_path(written, key)
        return shape

    @property
    def element(self) -> Shape:
        """What forEach makes of each of its items: of an object's fields, `key` and `value`."""
        node = self._followed()
        if not isinstance(node, dict) or len(self.kinds) != 1:
            return UNKNOWN
        if "array" in self.kinds:
            return Shape(node.get("items", True) if "prefixItems" not in node else True, self.root)
        if "object" not in self.kinds:
            return UNKNOWN
        values = node.get("additionalProperties", True) if "properties" not in node else True
        fields: dict[str, Json] = {"key": {"type": "string"}, "value": values}
        return Shape({"type": "object", "properties": fields, "additionalProperties": False}, self.root)

    @property
    def listed(self) -> Shape:
        """A list of such values."""
        return Shape({"type": "array", "items": self.node}, self.root)

    def having(self, field: str, schema: Json) -> Shape:
        """The same with another schema for one of its fields, which has no references."""
        assert isinstance(self.node, dict)
        fields = self.node["properties"]
        assert isinstance(fields, dict)
        return Shape({**self.node, "properties": {**fields, field: schema}}, self.root)

    def _below(self, written: str, key: str | int, optional: bool) -> Shape | None:
        node = self._followed()
        if not isinstance(node, dict):
            return None
        wanted = "object" if isinstance(key, str) else "array"
        if self.kinds and wanted not in self.kinds:
            what = f"the field {key}" if isinstance(key, str) else f"the item {key}"
            raise NoSuchPart(f"found {what} of {written}, which is {self.told}")
        found = self._item(node, key) if isinstance(key, int) else self._field(node, key)
        if found is not None:
            return Shape(found, self.root)
        if isinstance(key, int) or optional or not self._is_closed(node):
            return None
        raise NoSuchPart(self._refusal(node, written, key))

    @property
    def told(self) -> str:
        """Its types, for people."""
        return " or ".join(_NAMES.get(kind, kind) for kind in sorted(self.kinds)) or "anything"

    def _followed(self) -> Json:
        node = self.node
        while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            if _SPEAKS_OF_FIELDS & node.keys():
                return True
            node, _ = resolve(self.root, reference)
        return node

    @staticmethod
    def _field(node: dict[str, Json], key: str) -> Json:
        fields, others = node.get("properties"), node.get("additionalProperties")
        if isinstance(fields, dict) and key in fields:
            return fields[key]
        return others if isinstance(others, dict) else None

    @staticmethod
    def _item(node: dict[str, Json], index: int) -> Json:
        first = node.get("prefixItems")
        if isinstance(first, list) and index < len(first):
            return first[index]
        items = node.get("items")
        return items if isinstance(items, dict) else None

    def _is_closed(self, node: dict[str, Json]) -> bool:
        if node.get("additionalProperties", False) is not False or _OPEN & node.keys():
            return False
        return self.closed or bool(node.get("properties")) or "additionalProperties" in node

    def _refusal(self, node: dict[str, Json], written: str, key: str) -> str:
        fields = node.get("properties")
        known = list(fields) if isinstance(fields, dict) else []
        listed = ", ".join(known[:_MOST_NAMED]) + (", …" if len(known) > _MOST_NAMED else "")
        there = f"{written} has {listed}" if known else f"{written} has no fields"
        return f"found {join_path(written, key)}, but {there}{suggestion(key, known)}"


_ANY: frozenset[str] = frozenset()
UNKNOWN = Shape(True, {})


def literal(value: Json) -> Shape:
    """What is known of a value that is written down, with expressions in it."""
    return Shape(_literal(value), {})


def _literal(value: Json) -> Json:
    if isinstance(value, dict):
        fields: dict[str, Json] = {key: _literal(item) for key, item in value.items()}
        return {"type": "object", "properties": fields, "additionalProperties": False}
    return {"type": "array"} if isinstance(value, list) else True


def of_fields(**kinds: str) -> Shape:
    """An object of exactly these fields, each of a type of JSON; `any` for one that is unknown."""
    fields: dict[str, Json] = {
        name: True if kind == "any" else {"type": kind} for name, kind in kinds.items()
    }
    return Shape({"type": "object", "properties": fields, "additionalProperties": False}, {})
