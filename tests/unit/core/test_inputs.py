"""Inputs: what fits and gets its defaults, what is refused and in which words, and that all is fast."""

import copy
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.core.inputs import InvalidInputs, InvalidSchema, compile_inputs
from citadel.core.jsonvalues import Json


def fields(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties}


SALES: dict[str, Json] = {
    "type": "object",
    "required": ["region"],
    "properties": {
        "region": {"type": "string"},
        "limit": {"type": "integer", "default": 10},
        "mail": {
            "type": "object",
            "properties": {"to": {"type": "string", "default": "me"}, "copies": {"$ref": "#/$defs/count"}},
        },
        "lines": {"type": "array", "items": {"properties": {"weight": {"default": 1}}}},
    },
    "$defs": {"count": {"type": "integer", "default": 2}},
}

FILLED: list[tuple[str, dict[str, Json] | None, dict[str, Json], dict[str, Json]]] = [
    ("a default is filled in", SALES, {"region": "x"}, {"region": "x", "limit": 10}),
    ("what is given wins over the default", SALES, {"region": "x", "limit": 3}, {"region": "x", "limit": 3}),
    (
        "nested defaults are filled in",
        SALES,
        {"region": "x", "mail": {}},
        {"region": "x", "limit": 10, "mail": {"to": "me", "copies": 2}},
    ),
    (
        "defaults inside lists are filled in",
        SALES,
        {"region": "x", "limit": 1, "lines": [{}, {"weight": 5}]},
        {"region": "x", "limit": 1, "lines": [{"weight": 1}, {"weight": 5}]},
    ),
    (
        "a default that is an object gets its own defaults",
        fields(a={"default": {}, "properties": {"b": {"default": 1}}}),
        {},
        {"a": {"b": 1}},
    ),
    (
        "defaults behind allOf are filled in",
        {"type": "object", "allOf": [fields(a={"default": 3})]},
        {},
        {"a": 3},
    ),
    ("a default may be null", fields(a={"default": None}), {}, {"a": None}),
    ("a default meets what is required", {**fields(a={"default": 1}), "required": ["a"]}, {}, {"a": 1}),
    ("without a schema there are no inputs", None, {}, {}),
    (
        "additional properties where the schema says so",
        {"type": "object", "additionalProperties": True},
        {"a": 1},
        {"a": 1},
    ),
    ("1.0 is an integer, as JSON Schema has it", fields(a={"type": "integer"}), {"a": 1.0}, {"a": 1.0}),
    ("large integers stay exact", fields(a={"type": "integer"}), {"a": 2**70}, {"a": 2**70}),
    ("a property may be called $ref", fields(**{"$ref": {"type": "string"}}), {"$ref": "x"}, {"$ref": "x"}),
    ("nothing inside const is a reference", fields(a={"const": {"$ref": "http://x"}}), {}, {}),
]

REFUSED: list[tuple[str, dict[str, Json] | None, dict[str, Json], list[str]]] = [
    ("a wrong type", SALES, {"region": 7}, ["inputs.region: found 7 (integer), expected string"]),
    ("null for a string", SALES, {"region": None}, ["inputs.region: found null, expected string"]),
    (
        "text for a number",
        SALES,
        {"region": "x", "limit": "9"},
        ['inputs.limit: found "9", expected integer'],
    ),
    ("a missing input", SALES, {}, ["inputs.region: found nothing, expected a value: it is required"]),
    (
        "an undeclared input",
        fields(a=True, b=True),
        {"c": 1},
        ["inputs.c: found an input that is not declared, expected only a, b"],
    ),
    ("any input where none is declared", None, {"a": 1}, ["inputs.a: found an input that is not declared"]),
    (
        "several problems at once",
        SALES,
        {"limit": "9", "mail": 1},
        [
            "inputs.region: found nothing, expected a value: it is required",
            'inputs.limit: found "9", expected integer',
            "inputs.mail: found 1 (integer), expected object",
        ],
    ),
    (
        "a wrong type deep inside",
        fields(a={"items": fields(b={"type": "string"})}),
        {"a": [{}, {"b": 1}]},
        ["inputs.a[1].b: found 1 (integer), expected string"],
    ),
    (
        "one of two types",
        fields(a={"type": ["string", "null"]}),
        {"a": 1.5},
        ["inputs.a: found 1.5 (number), expected null or string"],
    ),
    (
        "none of the options",
        fields(a={"enum": ["x", 2]}),
        {"a": "z"},
        ['inputs.a: found "z", expected one of "x", 2'],
    ),
    ("another constant", fields(a={"const": 1}), {"a": 2}, ["inputs.a: found 2 (integer), expected 1"]),
    ("a pattern", fields(a={"pattern": "^a"}), {"a": "b"}, ['inputs.a: found "b", expected a match of ^a']),
    ("a format", fields(a={"format": "date"}), {"a": "b"}, ['inputs.a: found "b", expected the format date']),
    ("a bound", fields(a={"minimum": 3}), {"a": 2}, ["inputs.a: found 2 (integer), expected minimum 3"]),
    ("a length", fields(a={"maxLength": 2}), {"a": "abc"}, ['inputs.a: found "abc", expected maxLength 2']),
    (
        "a choice of schemas",
        fields(a={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        {"a": 1},
        ["inputs.a: found 1 (integer), which anyOf refuses"],
    ),
    (
        "a long value is cut",
        fields(a={"type": "integer"}),
        {"a": "x" * 999},
        [f'inputs.a: found "{"x" * 56}…, expected integer'],
    ),
    (
        "a character that cannot be stored",
        fields(a=True),
        {"a": ["x\0"]},
        ["inputs.a[0]: holds the character U+0000"],
    ),
]

INVALID: list[tuple[str, dict[str, Json], str]] = [
    ("no type", {}, 'type: found nothing, expected "object"'),
    ("another type", {"type": "string"}, 'type: found "string", expected "object"'),
    (
        "another dialect",
        {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"},
        "draft/2020-12",
    ),
    (
        "an unknown type",
        fields(a={"type": "strin"}),
        'properties.a.type: found "strin", expected one of: array, bool',
    ),
    ("properties that are a list", {"type": "object", "properties": [1]}, "properties: "),
    ("a schema that is a number", fields(a=3), "properties.a: "),
    (
        "a pattern that does not parse",
        fields(a={"pattern": "("}),
        'properties.a.pattern: found "(", expected a regul',
    ),
    ("a pattern that looks around", fields(a={"pattern": "(?=a)"}), "without look-around or back-references"),
    ("a pattern that explodes", fields(a={"pattern": "((a{1000}){1000})"}), "properties.a: too complex"),
    ("a pattern too large to compile", fields(a={"pattern": r"\p{L}{100}"}), "at most 256 KiB"),
    (
        "a reference that would fetch",
        fields(a={"$ref": "http://x/y"}),
        "expected a local reference like #/$defs/name",
    ),
    ("a reference to a file", fields(a={"$ref": "file:///etc/passwd"}), "expected a local reference"),
    (
        "a reference that would fetch, unused",
        {"type": "object", "$defs": {"a": {"$ref": "http://x/y"}}},
        "http://x/y",
    ),
    ("a reference to nowhere", fields(a={"$ref": "#/x"}), "which is not in the schema"),
    (
        "a reference to what nobody can count to",
        fields(a={"$ref": f"#/required/{'9' * 5000}"}, b={}) | {"required": ["b"]},
        "which is not in the schema",
    ),
    ("recursion", fields(a={"$ref": "#"}), "recursion is not supported"),
    (
        "recursion by two",
        {
            **fields(a={"$ref": "#/$defs/b"}),
            "$defs": {"b": fields(c={"$ref": "#/$defs/c"}), "c": {"items": {"$ref": "#/$defs/b"}}},
        },
        "recursion is not supported",
    ),
    ("an identity of its own", {"type": "object", "$id": "http://x"}, "$id is not supported"),
    (
        "a default of a wrong type",
        fields(a={"type": "integer", "default": "ten"}),
        'properties.a.default: found "ten", expected integer',
    ),
    (
        "a default wrong inside",
        fields(a={**fields(b={"type": "string"}), "default": {"b": 1}}),
        "properties.a.default.b: found 1 (integer), expected string",
    ),
    (
        "a default wrong by reference",
        {**fields(a={"$ref": "#/$defs/n", "default": "x"}), "$defs": {"n": {"type": "null"}}},
        'properties.a.default: found "x", expected null',
    ),
    ("too large", fields(a={"description": "x" * 70_000}), "larger than 65536 bytes"),
]


def sentences(table: list[tuple]) -> list:
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_")) for row in table]


@pytest.mark.parametrize(("schema", "given_inputs", "filled"), sentences(FILLED))
def test_inputs_that_fit_are_filled_in(
    schema: dict[str, Json] | None, given_inputs: dict[str, Json], filled: dict[str, Json]
) -> None:
    before = copy.deepcopy(given_inputs)
    assert compile_inputs(schema).apply(given_inputs) == filled
    assert given_inputs == before


@pytest.mark.parametrize(("schema", "given_inputs", "messages"), sentences(REFUSED))
def test_inputs_that_do_not_fit_are_refused_by_name(
    schema: dict[str, Json] | None, given_inputs: dict[str, Json], messages: list[str]
) -> None:
    with pytest.raises(InvalidInputs) as error:
        compile_inputs(schema).apply(given_inputs)
    assert sorted(error.value.messages) == sorted(messages)


@pytest.mark.parametrize(("schema", "message"), sentences(INVALID))
def test_a_schema_that_cannot_be_used_says_where(schema: dict[str, Json], message: str) -> None:
    with pytest.raises(InvalidSchema) as error:
        compile_inputs(schema)
    assert message in str(error.value)


def test_the_place_in_a_schema_is_a_path() -> None:
    with pytest.raises(InvalidSchema) as error:
        compile_inputs(fields(a={"type": "strin"}))
    assert error.value.path == ("properties", "a", "type")


def test_defaults_are_not_shared_between_executions() -> None:
    schema = compile_inputs(fields(a={"default": []}))
    first = schema.apply({})
    assert isinstance(first["a"], list)
    first["a"].append(1)
    assert schema.apply({}) == {"a": []}


def test_at_most_twenty_problems_are_listed() -> None:
    with pytest.raises(InvalidInputs) as error:
        compile_inputs(None).apply({f"x{n}": n for n in range(1000)})
    assert len(error.value.messages) == 20


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: Json = {}
    for _ in range(5000):
        schema = {"not": schema}
    with pytest.raises(InvalidSchema, match="nested more than 64 levels deep"):
        compile_inputs(fields(a=schema))


def test_references_that_double_are_refused_at_once() -> None:
    definitions: dict[str, Json] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)
    }
    definitions["a40"] = {"type": "integer"}
    began = process_time()
    with pytest.raises(InvalidSchema, match="too complex"):
        compile_inputs({**fields(a={"$ref": "#/$defs/a0"}), "$defs": definitions})
    assert process_time() - began < 0.5


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("(a+)+$", "a" * 900_000 + "!", False),
        ("^(a|a)*$", "a" * 900_000 + "!", False),
        ("([a-z]+)*d", "a" * 900_000, False),
        ("^(a?){50}a{50}c", "a" * 900_000 + "c", False),
    ],
)
def test_a_hostile_pattern_is_fast(pattern: str, text: str, fits: bool) -> None:
    schema = compile_inputs(fields(a={"type": "string", "pattern": pattern}))
    began = process_time()
    with pytest.raises(InvalidInputs):
        schema.apply({"a": text})
    assert process_time() - began < 1


def test_large_inputs_for_a_complex_schema_are_refused_before_they_are_checked() -> None:
    schema = compile_inputs(fields(a={"type": "string", "pattern": "^(a?){500}a{500}b?c"}))
    began = process_time()
    with pytest.raises(InvalidInputs, match="too large for a schema of this complexity"):
        schema.apply({"a": "a" * 900_000})
    assert process_time() - began < 0.5
    assert schema.apply({"a": "a" * 600 + "c"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(["region", "limit", "mail", "lines", "to"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["region", "limit", "mail", "lines", "other"]), json_values))
def test_any_inputs_fit_or_are_refused_with_messages(inputs: dict[str, Json]) -> None:
    schema = compile_inputs(SALES)
    try:
        filled = schema.apply(inputs)
    except InvalidInputs as refused:
        name_inputs(refused.messages)
    else:
        assert schema.apply(filled) == filled


keywords = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "$ref",
        "default",
        "enum",
        "required",
        "pattern",
        "allOf",
        "not",
        "$defs",
        "minimum",
    ]
)


@settings(deadline=None)
@given(
    st.dictionaries(
        keywords, st.recursive(json_values, lambda inner: st.dictionaries(keywords, inner), max_leaves=6)
    )
)
def test_any_schema_compiles_or_is_refused(schema: dict[str, Json]) -> None:
    try:
        compiled = compile_inputs({**schema, "type": "object"})
    except InvalidSchema:
        return
    try:
        compiled.apply({"a": 1})
    except InvalidInputs as refused:
        name_inputs(refused.messages)


def name_inputs(messages: list[str]) -> None:
    assert messages
    assert all(message.startswith("inputs") for message in messages)
