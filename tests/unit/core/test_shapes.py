"""Ways into a value that is known by its schema alone: what cannot be there is refused, all else is not."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.core.shapes import NoSuchPart, Shape, of_fields

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"person": PERSON},
    "properties": {
        "region": {"type": "string"},
        "maybe": {"type": ["string", "null"]},
        "user": PERSON,
        "boss": {"$ref": "#/$defs/person"},
        "heir": {"$ref": "#/$defs/person", "properties": {"throne": {}}},
        "rows": {"type": "array", "items": PERSON},
        "pair": {"type": "array", "prefixItems": [PERSON, {"type": "integer"}]},
        "free": {"type": "object"},
        "any": {},
        "open": {**PERSON, "additionalProperties": True},
        "shut": {"type": "object", "additionalProperties": False},
        "typed": {"type": "object", "additionalProperties": PERSON},
        "patterned": {**PERSON, "patternProperties": {"^x": {}}},
        "either": {**PERSON, "anyOf": [{"properties": {"other": {}}}]},
        "text_or_object": {"type": ["string", "object"]},
    },
}
INPUTS = Shape(SCHEMA, SCHEMA, closed=True)


def follow(*keys: str | int, optional: bool = False) -> Shape:
    return INPUTS.part("inputs", keys, [optional] * len(keys))


@pytest.mark.parametrize(
    "keys",
    [
        ("region",),
        ("user", "name"),
        ("boss", "age"),
        ("heir", "throne"),
        ("heir", "anything"),
        ("rows", 7, "name"),
        ("pair", 0, "name"),
        ("pair", 9, "whatever"),
        ("free", "whatever", 3),
        ("any", "whatever"),
        ("any", 3),
        ("open", "other", "deep"),
        ("typed", "whoever", "age"),
        ("patterned", "xyz"),
        ("either", "other"),
        ("text_or_object", "field"),
    ],
    ids=str,
)
def test_what_may_be_there_is_not_refused(keys: tuple[str | int, ...]) -> None:
    follow(*keys)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (("nope",), "found inputs.nope, but inputs has region, maybe, user,"),
        (("regoin",), "did you mean region?"),
        (("user", "nmae"), "found inputs.user.nmae, but inputs.user has name, age, did you mean name?"),
        (("boss", "nmae"), "found inputs.boss.nmae, but inputs.boss has name, age, did you mean name?"),
        (("rows", 0, "id"), "found inputs.rows[0].id, but inputs.rows[0] has name, age"),
        (("rows", "name"), "found the field name of inputs.rows, which is a list"),
        (("region", "x"), "found the field x of inputs.region, which is a text"),
        (("maybe", "x"), "found the field x of inputs.maybe, which is null or a text"),
        (("region", 0), "found the item 0 of inputs.region, which is a text"),
        (("pair", 1, "x"), "found the field x of inputs.pair[1], which is an integer"),
        (("text_or_object", 0), "found the item 0 of inputs.text_or_object, which is an object or a text"),
        (("shut", "x"), "found inputs.shut.x, but inputs.shut has no fields"),
        (("typed", "a", "b"), "found inputs.typed.a.b, but inputs.typed.a has name, age"),
    ],
    ids=str,
)
def test_what_cannot_be_there_is_refused_with_what_there_is(keys: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(NoSuchPart) as caught:
        follow(*keys)
    assert says in str(caught.value)


def test_a_field_whose_absence_is_provided_for_is_not_refused() -> None:
    assert follow("nope", optional=True).kinds == frozenset()
    with pytest.raises(NoSuchPart, match="which is a text"):
        follow("region", "x", optional=True)


def test_the_types_of_what_is_found_are_known() -> None:
    assert follow("user", "age").told == "an integer"
    assert follow("maybe").told == "null or a text"
    assert follow("any").told == "anything"
    assert of_fields(reason="string", at="any").part("error", ["at"], [False]).kinds == frozenset()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def exactly(value: Any) -> dict[str, Any]:
    """The closest schema of a value."""
    if isinstance(value, dict):
        fields = {key: exactly(item) for key, item in value.items()}
        return {"type": "object", "properties": fields, "additionalProperties": False}
    if isinstance(value, list):
        return {"type": "array", "prefixItems": [exactly(item) for item in value]}
    kinds = {bool: "boolean", int: "integer", str: "string"}
    return {"type": kinds.get(type(value), "null")}


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from paths(item, (*above, key))
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from paths(item, (*above, index))


@given(VALUES, st.booleans())
def test_no_path_of_a_value_is_refused_by_the_closest_schema_that_it_has(value: Any, closed: bool) -> None:
    schema = exactly(value)
    for path in paths(value):
        Shape(schema, schema, closed).part("it", path, [False] * len(path))
