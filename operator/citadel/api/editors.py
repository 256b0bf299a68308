"""One JSON Schema of all kinds, for editors: what completes and validates YAML as it is written.

Unlike the CRDs it nests steps to any depth, as JSON Schema has references. It is draft-07, which every
editor knows. It says less than `citadel lint`, which also follows expressions, and must never refuse what
lint accepts (but for an explicit null).
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from citadel.api.kinds import KINDS, Kind
from citadel.api.messages import NAME_WORDS, PATTERN_WORDS
from citadel.api.meta import API_VERSION, DNS_SUBDOMAIN_PATTERN, GROUP
from citadel.api.rules import rules
from citadel.api.schema import Generator, Schema
from citadel.api.suite import ANSWERS, Suite

FILE = "docs/reference/citadel.schema.json"
_DRAFT = "http://json-schema.org/draft-07/schema#"
_REFERENCE = "#/definitions/{model}"
_NAME = {
    "type": "string",
    "pattern": DNS_SUBDOMAIN_PATTERN,
    "maxLength": 253,
    "patternErrorMessage": f"expected {NAME_WORDS}",
}


_SHAPE = _REFERENCE.format(model="JsonSchema")
#: Fields that hold a JSON Schema.
_SCHEMAS = (
    ("WorkflowSpec", "inputs"),
    ("Step", "outputSchema"),
    ("Approval", "form"),
    ("ApprovalSpec", "form"),
)
#: What is no resource, but a file of tests.
_IS_SUITE: Schema = {
    "required": ["tests"],
    "not": {"anyOf": [{"required": ["kind"]}, {"required": ["spec"]}]},
}
#: JSON Schema itself, as far as an editor helps with it. Not by its address: editors would fetch that.
_JSON_SCHEMA: Schema = {
    "description": "What a value must look like, in JSON Schema.",
    "type": ["object", "boolean"],
    "properties": {
        "description": {"description": "What the value is, for people.", "type": "string"},
        "type": {
            "description": "Kind of value.",
            "anyOf": [
                {"enum": ["object", "array", "string", "integer", "number", "boolean", "null"]},
                {"type": "array"},
            ],
        },
        "properties": {
            "description": "Fields by name, each with its schema.",
            "type": "object",
            "additionalProperties": {"$ref": _SHAPE},
        },
        "required": {
            "description": "Fields that must be there.",
            "type": "array",
            "items": {"type": "string"},
        },
        "additionalProperties": {"description": "Schema of fields that are not named.", "$ref": _SHAPE},
        "items": {"description": "Schema of each item.", "$ref": _SHAPE},
        "enum": {"description": "The values that there are.", "type": "array"},
        "const": {"description": "The only value."},
        "default": {"description": "Taken where none is given."},
        "minimum": {"description": "Least number.", "type": "number"},
        "maximum": {"description": "Greatest number.", "type": "number"},
        "minLength": {"description": "Least number of characters.", "type": "integer"},
        "maxLength": {"description": "Greatest number of characters.", "type": "integer"},
        "pattern": {"description": "Regular expression that is found in the text.", "type": "string"},
        "format": {"description": "Such as date-time, uri, email.", "type": "string"},
        "minItems": {"description": "Least number of items.", "type": "integer"},
        "maxItems": {"description": "Greatest number of items.", "type": "integer"},
    },
}


class EditorGenerator(Generator):
    """Models as JSON Schema, with the choices between their fields."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        choices: list[Any] = [
            {"oneOf": [{"required": [field]} for field in rule.one_of]}
            for rule in rules(schema["cls"])
            if rule.one_of
        ]
        if not choices:
            return result
        return {**result, **choices[0]} if len(choices) == 1 else {**result, "allOf": choices}


def editor_schema() -> Schema:
    """The schema: an object of one of our kinds has its shape, any other object may be what it likes."""
    models: list[tuple[type[BaseModel], Any]] = [(kind.spec, "validation") for kind in KINDS]
    models.append((Suite, "validation"))
    _, generated = models_json_schema(
        models, by_alias=True, ref_template=_REFERENCE, schema_generator=EditorGenerator
    )
    definitions = {name: _for_editors(schema) for name, schema in generated["$defs"].items()}
    for model, field in _SCHEMAS:
        definitions[model]["properties"][field]["$ref"] = _SHAPE
    _shorten(definitions)
    names = [kind.name for kind in KINDS]
    definitions["JsonSchema"] = _JSON_SCHEMA
    return {
        "$schema": _DRAFT,
        "title": f"Resources of {API_VERSION}",
        "type": "object",
        "properties": {
            "apiVersion": {
                "description": f"{API_VERSION} for the resources of Citadel.",
                "anyOf": [{"const": API_VERSION}, {"type": "string"}],
            },
            "kind": {
                "description": "Which kind of object this is.",
                "anyOf": [{"enum": names}, {"type": "string"}],
            },
        },
        "allOf": [
            {
                "if": {"required": ["apiVersion"], "properties": {"apiVersion": _ours()}},
                "then": {
                    "required": ["kind"],
                    "properties": {"apiVersion": {"const": API_VERSION}, "kind": {"enum": names}},
                },
            },
            *({"if": _is(kind), "then": {"$ref": _REFERENCE.format(model=_title(kind))}} for kind in KINDS),
            {"if": _IS_SUITE, "then": {"$ref": _REFERENCE.format(model=Suite.__name__)}},
        ],
        "definitions": {**{_title(kind): _object(kind) for kind in KINDS}, **definitions},
    }  # fmt: skip


def _shorten(definitions: dict[str, Any]) -> None:
    """Lets a file of tests say in short what it says once, or by a status alone; one answer for each mock."""
    definitions["Mock"]["oneOf"] = [{"required": [answer]} for answer in ANSWERS]
    mocks = definitions["Scenario"]["properties"]["mocks"]
    mocks["additionalProperties"] = {
        "anyOf": [mocks["additionalProperties"]["items"], mocks["additionalProperties"]]
    }
    steps = definitions["Expected"]["properties"]["steps"]
    status = definitions["ExpectedStep"]["properties"]["status"]
    steps["additionalProperties"] = {"anyOf": [status, steps["additionalProperties"]]}


def _title(kind: Kind) -> str:
    # A part of a resource may have the name of another kind.
    return f"{GROUP}.{kind.name}"


def _is(kind: Kind) -> Schema:
    return {"required": ["kind"], "properties": {"kind": {"const": kind.name}, "apiVersion": _ours()}}


def _ours() -> Schema:
    # Another project's Workflow may stand in the same folder.
    return {"type": "string", "pattern": f"^{GROUP.replace('.', '[.]')}/"}


def _object(kind: Kind) -> Schema:
    namespace: Schema = {"namespace": {"description": "Its namespace; else kubectl's.", **_NAME}}
    prefix = {"type": "string", "description": "What a name is made from, with kubectl create."}
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "description": kind.description,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"description": "Group and version of this kind.", "const": API_VERSION},
            "kind": {"description": kind.description, "const": kind.name},
            "metadata": {
                "description": "Name, namespace, labels and annotations.",
                "type": "object",
                "anyOf": [{"required": ["name"]}, {"required": ["generateName"]}],
                "properties": {
                    "name": {"description": f"Name of the {kind.name}.", **_NAME},
                    **(namespace if kind.namespaced else {}),
                    "generateName": prefix,
                    "labels": {"description": "What selects it.", **texts},
                    "annotations": {"description": "What others note on it.", **texts},
                },
            },
            "spec": {"$ref": _REFERENCE.format(model=kind.spec.__name__)},
            "status": {"description": "Written by Citadel; not for files.", "type": "object"},
        },
    }


def _for_editors(schema: Any) -> Any:
    """Without titles and what only CRDs know; texts in one line; messages instead of patterns."""
    if isinstance(schema, list):
        return [_for_editors(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result: Schema = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties"):
            result[keyword] = {name: _for_editors(inner) for name, inner in value.items()}
        elif keyword == "description":
            result[keyword] = " ".join(value.split())
        elif keyword in ("enum", "const", "default", "required"):
            # An empty or compound default is what absence means; as a proposal it would be noise.
            if keyword != "default" or isinstance(value, str | bool | int | float):
                result[keyword] = value
        elif keyword not in ("title", "map"):
            result[keyword] = _for_editors(value)
    if result.get("pattern") in PATTERN_WORDS:
        result["patternErrorMessage"] = f"expected {PATTERN_WORDS[result['pattern']]}"
    return result
