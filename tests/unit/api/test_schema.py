"""What becomes of each construct of JSON Schema, and what the checker of structural schemas refuses."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

import structural as rules
from citadel.api.schema import Defaults, Inexpressible, rewrite, structural


class Node(BaseModel):
    """A node of a tree."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = "x"
    """What it is called."""
    child: "Node | None" = None
    """What is below it."""


class Everything(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    optional: int | None = None
    """May be
    absent."""
    port: int | str = 80
    tree: Node
    """The root."""
    above: Annotated[float, Field(gt=0, lt=5)] = 1.5
    one: Literal["only"] = "only"
    anything: Any = None
    free: dict[str, Any] = {}
    labels: dict[str, Annotated[str, Field(max_length=5)]] = {}
    by_pattern: dict[Annotated[str, Field(pattern="^a$")], int] = {}
    names: set[str] = set()
    nodes: Annotated[tuple[Node, ...], Field(json_schema_extra={"map": "name"})] = ()
    switch: bool = True


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("optional", {"description": "May be absent.", "type": "integer"}),
        ("port", {"x-kubernetes-int-or-string": True}),
        (
            "above",
            {
                "description": "Defaults to 1.5.",
                "type": "number",
                "default": 1.5,
                "exclusiveMaximum": True,
                "exclusiveMinimum": True,
                "maximum": 5,
                "minimum": 0,
            },
        ),
        (
            "one",
            {"description": "Defaults to only.", "type": "string", "enum": ["only"], "default": "only"},
        ),
        ("anything", {rules.PRESERVE: True}),
        ("free", {"type": "object", rules.PRESERVE: True}),
        ("labels", {"type": "object", "additionalProperties": {"type": "string", "maxLength": 5}}),
        ("by_pattern", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("names", {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        ("switch", {"description": "Defaults to true.", "type": "boolean", "default": True}),
        (
            "tree",
            {
                "description": "The root.",
                "type": "object",
                "properties": {
                    "name": {
                        "description": "What it is called. Defaults to x.",
                        "type": "string",
                        "default": "x",
                    },
                    "child": {"description": "What is below it.", "type": "object", rules.PRESERVE: True},
                },
            },
        ),
    ],
)
def test_a_field_becomes(field: str, expected: dict[str, Any]) -> None:
    assert structural(Everything)["properties"][field] == expected


def test_a_list_of_named_items_merges_by_name_and_only_tells_defaults() -> None:
    nodes = structural(Everything)["properties"]["nodes"]
    assert nodes["x-kubernetes-list-type"] == "map"
    assert nodes["x-kubernetes-list-map-keys"] == ["name"]
    assert nodes["items"]["properties"]["name"] == {
        "description": "What it is called. Defaults to x.",
        "type": "string",
    }


def test_defaults_can_be_left_out_altogether() -> None:
    for path, node in rules.nodes(structural(Everything, Defaults.OMITTED)):
        assert "default" not in node, path
        assert "Defaults to" not in node.get("description", ""), path


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "array"}]}}},
            "$.a: a union",
        ),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "$: prefixItems has"),
        ({"oneOf": [{"type": "string"}]}, "$: oneOf has"),
        ({"type": "array"}, "$: a list without"),
        ({"type": "string", "description": "like ${x}"}, "$: a description may"),
        ({"type": "string", "description": "like {{ x }}"}, "$: a description may"),
        (
            {"type": "object", "patternProperties": {"^a": {"type": "string"}, "^b": {"type": "integer"}}},
            "$: several kinds",
        ),
    ],
)
def test_what_has_no_structural_form_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(Inexpressible) as refused:
        rewrite(schema)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("schema", "violation"),
    [
        ({}, "$: no type"),
        ({"type": "object", "properties": {"a": {"$ref": "#/x", "type": "object"}}}, "$.a: $ref"),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
            "$: additionalProperties is a boolean",
        ),
        ({"type": "array"}, "$: no items"),
        ({"type": "object"}, "$: object of nothing"),
        ({"type": "integer", "exclusiveMinimum": 0}, "$: exclusiveMinimum is no boolean"),
        ({"type": "object", rules.PRESERVE: True, "required": ["a"]}, "$: required a does not exist"),
        (
            {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
            "$: map key name is not required",
        ),
    ],
)
def test_the_checker_finds_what_an_api_server_would_refuse(schema: dict[str, Any], violation: str) -> None:
    assert violation in list(rules.violations(schema))


def test_the_checker_finds_what_is_unbounded() -> None:
    schema = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
            "choice": {"type": "string", "enum": ["a"]},
        },
    }
    assert list(rules.unbounded(schema)) == [
        "$.list: maxItems",
        "$.list[]: maxLength",
        "$.map: maxProperties",
    ]
