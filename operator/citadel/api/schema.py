"""Pydantic models into structural schemas, the dialect of JSON Schema that CustomResourceDefinitions accept.

What that dialect cannot express raises `Inexpressible`: nothing is dropped silently but titles and
`additionalProperties: false` (the API server prunes unknown fields, and kubectl refuses them).
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from citadel.api.rules import rules

Schema = dict[str, Any]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_KEPT = frozenset(
    {
        "description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
        "multipleOf", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    }
)  # fmt: skip
_DROPPED = frozenset({"title", "propertyNames"})
_HANDLED = frozenset(
    {
        "$defs", "properties", "additionalProperties", "patternProperties", "items", "anyOf", "const",
        "default", "exclusiveMinimum", "exclusiveMaximum", "uniqueItems", "map",
    }
)  # fmt: skip


class Inexpressible(Exception):
    """A model that has no structural schema: which part, and why."""


class Defaults(Enum):
    """What becomes of a field's default."""

    WRITTEN = "the API server fills it in"
    TOLD = "the description tells it"
    OMITTED = "it is nobody's business"


class Generator(GenerateJsonSchema):
    """Pydantic's generator, with absence instead of null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value


class _Generator(Generator):
    """The same with our rules on their models."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        wire = [rule.on_the_wire() for rule in rules(schema["cls"])]
        return {**result, "x-kubernetes-validations": wire} if wire else result


def structural(model: type[BaseModel], defaults: Defaults = Defaults.WRITTEN) -> Schema:
    """The structural schema of a model; raises Inexpressible."""
    generated = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return rewrite(generated, defaults)


def rewrite(schema: Schema, defaults: Defaults = Defaults.WRITTEN) -> Schema:
    """A JSON Schema as pydantic writes it, made structural; raises Inexpressible."""
    return _Rewriter(schema.get("$defs", {}), defaults, model_at=()).node(schema)


@dataclass(frozen=True)
class _Rewriter:
    definitions: Schema
    defaults: Defaults
    model_at: tuple[str, ...]
    """Names of the definitions that are being written out, outermost first."""
    path: str = "$"

    def node(self, schema: Schema) -> Schema:
        if "$ref" in schema:
            return self._reference(schema)
        if "allOf" in schema and len(schema["allOf"]) == 1:
            return self.node({**schema["allOf"][0], **_without(schema, "allOf")})
        if "anyOf" in schema:
            return self._union(schema)
        self._check_keywords(schema)
        result = {key: value for key, value in schema.items() if _is_kept(key)}
        self._check_description(result)
        if "const" in schema:
            result["enum"] = [schema["const"]]
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive in schema:
                result[bound], result[exclusive] = schema[exclusive], True
        kind = schema.get("type")
        if kind == "object":
            result.update(self._object(schema))
        elif kind == "array":
            result.update(self._array(schema))
        elif kind is None and "enum" not in result:
            result[_PRESERVE] = True
        self._default(schema, result)
        return _ordered(result)

    def _below(self, step: str) -> "_Rewriter":
        return replace(self, path=f"{self.path}{step}")

    def _reference(self, schema: Schema) -> Schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        target = self.definitions[name]
        if name in self.model_at:
            # Recursion ends here: deeper levels are checked by us alone.
            described = {**target, **schema}.get("description", "")
            return {"description": described, "type": "object", _PRESERVE: True}
        inner = replace(self, model_at=(*self.model_at, name))
        return inner.node({**target, **_without(schema, "$ref")})

    def _union(self, schema: Schema) -> Schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        if len(options) == 1:
            return self.node({**options[0], **_without(schema, "anyOf")})
        if sorted(option.get("type", "") for option in options) == ["integer", "string"]:
            return _ordered({**self._described(schema), "x-kubernetes-int-or-string": True})
        raise Inexpressible(
            f"{self.path}: a union has no structural form; use one optional field per variant"
        )

    def _described(self, schema: Schema) -> Schema:
        self._check_description(schema)
        return {"description": schema["description"]} if "description" in schema else {}

    def _object(self, schema: Schema) -> Schema:
        properties = schema.get("properties", {})
        if properties:
            return {
                "properties": {
                    name: self._below(f".{name}").node(value) for name, value in properties.items()
                }
            }
        values = [schema["additionalProperties"]] if "additionalProperties" in schema else []
        values += schema.get("patternProperties", {}).values()
        typed = [value for value in values if isinstance(value, dict) and value]
        if len(typed) > 1:
            raise Inexpressible(f"{self.path}: several kinds of values in one map have no structural form")
        if not typed:
            return {_PRESERVE: True}
        return {"additionalProperties": self._below(".*").node(typed[0])}

    def _array(self, schema: Schema) -> Schema:
        if "items" not in schema:
            raise Inexpressible(f"{self.path}: a list without one type of items has no structural form")
        # Defaults inside lists are told, not written: GitOps tools compare lists as a whole,
        # and would see a difference for ever.
        inner = self._below("[]")
        if self.defaults is Defaults.WRITTEN:
            inner = replace(inner, defaults=Defaults.TOLD)
        result: Schema = {"items": inner.node(schema["items"])}
        if "map" in schema:
            result["x-kubernetes-list-type"] = "map"
            result["x-kubernetes-list-map-keys"] = [schema["map"]]
        elif schema.get("uniqueItems"):
            result["x-kubernetes-list-type"] = "set"
        return result

    def _default(self, schema: Schema, result: Schema) -> None:
        value = schema.get("default")
        if value is None or self.defaults is Defaults.OMITTED or isinstance(value, dict):
            return
        # `kubectl explain` shows descriptions only.
        words = told(value)
        if words:
            result["description"] = f"{result.get('description', '')} Defaults to {words}.".strip()
        if self.defaults is Defaults.WRITTEN and not isinstance(value, list):
            result["default"] = value

    def _check_keywords(self, schema: Schema) -> None:
        for keyword in schema:
            if keyword not in _DROPPED | _HANDLED and not _is_kept(keyword):
                raise Inexpressible(f"{self.path}: {keyword} has no structural form")

    def _check_description(self, schema: Schema) -> None:
        text = schema.get("description")
        if text is None:
            return
        if "${" in text or "{{" in text:
            # Flux substitutes the one, Helm the other, in CRDs too.
            raise Inexpressible(f"{self.path}: a description may hold neither ${{ nor {{{{")
        schema["description"] = " ".join(text.split())


def _is_kept(keyword: str) -> bool:
    return keyword in _KEPT or keyword.startswith("x-kubernetes-")


def told(value: Any) -> str:
    """A default or bound in words."""
    if isinstance(value, list):
        return ", ".join(map(told, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _without(schema: Schema, keyword: str) -> Schema:
    return {key: value for key, value in schema.items() if key != keyword}


def _ordered(schema: Schema) -> Schema:
    """What a reader looks for first: what it is, its type, what it consists of."""
    order = ("description", "type", "format", "enum", "default", "required", "properties", "items")
    first = {key: schema[key] for key in order if key in schema}
    return {**first, **{key: schema[key] for key in sorted(schema) if key not in first}}
