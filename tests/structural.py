"""The API server's rules for structural schemas and ours for bounds, as a checker that names each breach."""

from collections.abc import Iterator
from typing import Any

PRESERVE = "x-kubernetes-preserve-unknown-fields"
FORBIDDEN = (
    "$ref", "$defs", "$schema", "$id", "id", "definitions", "dependencies", "deprecated", "discriminator",
    "patternProperties", "propertyNames", "prefixItems", "readOnly", "writeOnly", "xml", "title", "const",
    "examples", "allOf", "anyOf", "oneOf", "not", "nullable", "map", "uniqueItems",
)  # fmt: skip
YAML_BOOLEANS = {"y", "n", "yes", "no", "on", "off", "true", "false"}


def violations(schema: dict[str, Any], path: str = "$") -> Iterator[str]:
    """Every breach of the rules for structural schemas, with its path."""
    for keyword in FORBIDDEN:
        if keyword in schema:
            yield f"{path}: {keyword}"
    free = schema.get(PRESERVE) or schema.get("x-kubernetes-int-or-string")
    if not schema.get("type") and not free:
        yield f"{path}: no type"
    if isinstance(schema.get("additionalProperties"), bool):
        yield f"{path}: additionalProperties is a boolean"
    if "additionalProperties" in schema and "properties" in schema:
        yield f"{path}: additionalProperties beside properties"
    if schema.get("type") == "array" and "items" not in schema:
        yield f"{path}: no items"
    has_content = {"properties", "additionalProperties"} & schema.keys()
    if schema.get("type") == "object" and not free and not has_content and path != "$.metadata":
        yield f"{path}: object of nothing"
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(schema.get(bound, True), bool):
            yield f"{path}: {bound} is no boolean"
    if schema.get("x-kubernetes-list-type") == "map":
        items = schema["items"]
        for key in schema.get("x-kubernetes-list-map-keys", []):
            if key not in items.get("required", []) and "default" not in items["properties"].get(key, {}):
                yield f"{path}: map key {key} is not required"
    for name in schema.get("required", []):
        if name not in schema.get("properties", {}):
            yield f"{path}: required {name} does not exist"
    for name, below in children(schema, path):
        yield from violations(below, name)


def unbounded(schema: dict[str, Any], path: str = "$") -> Iterator[str]:
    """Every list, string and map without an upper bound; what is preserved unseen needs none."""
    kind = schema.get("type")
    if kind == "array" and "maxItems" not in schema:
        yield f"{path}: maxItems"
    if kind == "string" and not ({"maxLength", "enum", "format"} & schema.keys()):
        yield f"{path}: maxLength"
    if "additionalProperties" in schema and "maxProperties" not in schema:
        yield f"{path}: maxProperties"
    for name, below in children(schema, path):
        yield from unbounded(below, name)


def children(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas directly below this one."""
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}", below
    if isinstance(schema.get("items"), dict):
        yield f"{path}[]", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        yield f"{path}.*", schema["additionalProperties"]


def nodes(schema: dict[str, Any], path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """This schema and all below it."""
    yield path, schema
    for name, below in children(schema, path):
        yield from nodes(below, name)
