"""JSON that nobody vouches for: what passes, what is refused, and that nothing else ever happens."""

import json
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.core.jsonvalues import (
    InvalidValue,
    Json,
    canonical,
    check,
    digest,
    holds_null,
    join_path,
    normalise,
)

ACCEPTED = [
    ("an object", b'{"b": 1, "a": [true, null, 1.5, "x"]}', {"a": [True, None, 1.5, "x"], "b": 1}),
    ("a bare string", '"é"'.encode(), "é"),
    ("a pair of surrogates is one character", b'"\\ud834\\udd1e"', "\U0001d11e"),
    ("an escaped backslash before u0000 is text", b'"\\\\u0000"', "\\u0000"),
    ("a 64-bit integer stays exact", b"9223372036854775807", 2**63 - 1),
    ("a larger integer stays exact", b"1" + b"0" * 4299, 10**4299),
    ("a negative integer of 4300 digits", b"-" + b"9" * 4300, -(10**4300 - 1)),
    ("the last of two equal keys wins", b'{"a": 1, "a": 2}', {"a": 2}),
    ("64 levels", b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
    ("brackets inside strings are no levels", b'"' + b"[" * 1000 + b'"', "[" * 1000),
    ("brackets after an escaped quote are no levels", b'"\\"' + b"[" * 1000 + b'"', '"' + "[" * 1000),
    ("spaces around", b" \n 1 \t", 1),
]

REFUSED = [
    ("nothing", b"", "not JSON"),
    ("no JSON", b"hello", "not JSON: Expecting value at line 1, column 1"),
    ("two values", b"1 2", "not JSON: Extra data at line 1, column 3"),
    ("an error on the second line", b'{"a": 1,\n "b" 2}', "line 2, column 6"),
    ("single quotes", b"{'a': 1}", "not JSON"),
    ("a trailing comma", b"[1,]", "not JSON"),
    ("no UTF-8", b'"\xff"', "not UTF-8: byte 1 is 0xff"),
    ("UTF-16", '"a"'.encode("utf-16"), "not UTF-8"),
    ("a surrogate in UTF-8", b'"\xed\xa0\x80"', "not UTF-8"),
    ("a byte order mark", b"\xef\xbb\xbf1", "not JSON"),
    ("65 levels", b"[" * 65 + b"]" * 65, "nested more than 64 levels deep"),
    ("levels of objects", b'{"a":' * 65 + b"1" + b"}" * 65, "nested more than 64 levels deep"),
    ("a million levels", b"[" * 1_000_000, "nested more than 64 levels deep"),
    ("NaN", b"[NaN]", "found NaN, JSON numbers are finite"),
    ("infinity", b"-Infinity", "found -Infinity"),
    ("a number that overflows", b"1e400", "the number 1e400 is out of range"),
    ("an integer of 4301 digits", b"1" * 4301, "more than 4300 digits"),
    ("an escaped NUL in a string", b'{"a": [1, "x\\u0000"]}', "a[1]: holds the character U+0000"),
    ("a NUL in a key", b'{"a": {"\\u0000": 1}}', "a: a key holds the character U+0000"),
    ("a NUL byte", b'"\x00"', "not JSON"),
    (
        "a lone high surrogate",
        b'{"rows": [{"name": "\\ud800"}]}',
        "rows[0].name: holds the lone surrogate U+D800",
    ),
    ("a lone low surrogate in a key", b'{"\\udc00": 1}', "a key holds the lone surrogate U+DC00"),
    ("more than 1 MiB", b'"' + b"a" * 1024 * 1024 + b'"', "found 1048578 bytes, at most 1048576"),
]


def sentences(table: list[tuple]) -> list:
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_")) for row in table]


@pytest.mark.parametrize(("raw", "value"), sentences(ACCEPTED))
def test_good_json_is_parsed(raw: bytes, value: Json) -> None:
    assert normalise(raw) == value


@pytest.mark.parametrize(("raw", "message"), sentences(REFUSED))
def test_bad_json_is_refused_with_its_place(raw: bytes, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        normalise(raw)
    assert message in str(error.value)


def test_the_limit_is_the_callers() -> None:
    assert normalise(b'"abc"', limit=5) == "abc"
    with pytest.raises(InvalidValue, match="at most 4"):
        normalise(b'"abc"', limit=4)


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 500_000,
        b'"' * 1_000_000,
        b"[]," * 340_000,
        b'{"":' * 250_000,
        b"0" * 1_000_000,
        b"1" * 1_000_000,
        b"\\u0000" * 170_000,
    ],
    ids=["escaped_quotes", "quotes", "brackets", "objects", "zeros", "digits", "escapes"],
)
def test_hostile_bytes_take_linear_time(raw: bytes) -> None:
    began = process_time()
    with pytest.raises(InvalidValue):
        normalise(raw)
    assert process_time() - began < 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": (1, 2)}, "a: found a tuple"),
        ({"a": {1: 2}}, "a: found the key 1 (integer), keys are strings"),
        ([float("nan")], r"[0]: found nan"),
        ({"a": b"x"}, "a: found a bytes"),
        (["x\0"], "[0]: holds the character U+0000"),
        ([10**4300], "[0]: holds an integer of more than 4300 digits"),
        ("a" * 2_000_000, "larger than 1048576 bytes"),
        ([0] * 1_000_000, "larger than 1048576 bytes"),
    ],
)
def test_a_value_in_memory_is_held_to_the_same(value: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        check(value)
    assert message in str(error.value)


def test_a_value_that_holds_itself_or_doubles_is_refused_at_once() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(InvalidValue, match="64 levels"):
        check(circle)
    doubled: object = "x"
    for _ in range(60):
        doubled = [doubled, doubled]
    with pytest.raises(InvalidValue, match="larger than"):
        check(doubled)


def test_canonical_json_sorts_keys_and_wastes_no_space() -> None:
    assert canonical({"b": 1, "a": ["é", 1.5, None]}) == '{"a":["é",1.5,null],"b":1}'.encode()


def test_the_digest_names_its_algorithm() -> None:
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("path", "key", "joined"),
    [
        ("", "rows", "rows"),
        ("rows", 2, "rows[2]"),
        ("rows[2]", "name", "rows[2].name"),
        ("a", "b c", 'a["b c"]'),
    ],
)
def test_paths_are_written_as_people_write_them(path: str, key: str | int, joined: str) -> None:
    assert join_path(path, key) == joined


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@settings(deadline=None)
@given(json_values)
def test_every_good_value_survives_and_has_one_spelling(value: Json) -> None:
    spelled = canonical(check(value))
    again = normalise(spelled)
    assert again == value
    assert canonical(again) == spelled
    assert canonical(normalise(json.dumps(value, indent=1).encode())) == spelled


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\u0d8c1eE+-. ntf', max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_an_invalid_value(raw: bytes) -> None:
    try:
        value = normalise(raw)
    except InvalidValue:
        return
    assert normalise(canonical(value)) == value
    check(value)


@settings(deadline=None)
@given(json_values)
def test_the_size_is_counted_as_the_canonical_bytes(value: Json) -> None:
    """`check` may count a little less than the bytes (escapes, long floats), never more."""
    check(value, len(canonical(value)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        ({}, False),
        ({"a": [1, {"b": 0}]}, False),
        ({"a": None}, True),
        ([[{"b": [None]}]], True),
    ],
)
def test_a_null_is_found_wherever_it_stands_within(value: object, expected: bool) -> None:
    assert holds_null(value) is expected
