"""The YAML loader: values as kubectl's, positions, twists, and every error in plain words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.api.loader import MAX_BYTES, Document, LoadError, Position, load
from citadel.api.yamlnodes import MAX_NODES


def one(text: str) -> Document:
    (document,) = load(text)
    return document


WORKFLOW = """\
apiVersion: citadel.dev/v1alpha1
kind: Workflow
spec:
  steps:
  - name: load   # first
    with: {csv: "${inputs.csv}"}
    run:
      code: |
        def main(csv):
            return csv
"""


def test_values_are_plain_json() -> None:
    assert one(WORKFLOW).value["spec"] == {
        "steps": [
            {
                "name": "load",
                "with": {"csv": "${inputs.csv}"},
                "run": {"code": "def main(csv):\n    return csv\n"},
            }
        ]
    }


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ((), 1, 1),
        (("spec",), 3, 1),
        (("spec", "steps"), 4, 3),
        (("spec", "steps", 0), 5, 5),
        (("spec", "steps", 0, "name"), 5, 5),
        (("spec", "steps", 0, "with", "csv"), 6, 12),
        (("spec", "steps", 0, "run", "code"), 8, 7),
        (("spec", "steps", 0, "run", "missing", "deeper"), 7, 5),
        (("spec", "steps", 7), 4, 3),
        (("elsewhere",), 1, 1),
    ],
)
def test_a_path_is_found_at_its_key_or_else_at_its_nearest_ancestor(
    path: tuple[str | int, ...], line: int, column: int
) -> None:
    assert one(WORKFLOW).position(path) == Position(line, column)


def test_a_value_has_a_position_of_its_own() -> None:
    assert one(WORKFLOW).positions[("spec", "steps", 0, "name")] == Position(5, 11)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("# only a comment\n", []),
        ("---\n---\n", []),
        ("a: 1\n---\n# none\n---\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("\ufeffa: 1", [{"a": 1}]),
        ('{"a": [1, null, true, "x"]}', [{"a": [1, None, True, "x"]}]),
        ("a: !!str yes", [{"a": "yes"}]),
        ("a: 'no'", [{"a": "no"}]),
        ("a: &x {b: 1}\nc: *x", [{"a": {"b": 1}, "c": {"b": 1}}]),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", [{"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}]),
        ("a: &x {b: 1}\nd: &y {b: 2}\ne: {<<: [*x, *y]}", [{"a": {"b": 1}, "d": {"b": 2}, "e": {"b": 1}}]),
        ("a: ${x} # comment", [{"a": "${x}"}]),
        ("- plain\n- 1", [["plain", 1]]),
    ],
)
def test_a_text_holds_these_documents(text: str, values: list[object]) -> None:
    assert [document.value for document in load(text)] == values


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        (
            "on: 1",
            {"true": 1},
            '1:1: on: found the key on without quotes, which YAML reads as true; write "on"',
        ),
        (
            "a:\n- {b: yes}",
            {"a": [{"b": True}]},
            '2:7: a[0].b: found yes without quotes, which YAML reads as true; write true, or "yes" for text',
        ),
        (
            "a: 2024-01-01",
            {"a": "2024-01-01"},
            "1:4: a: found 2024-01-01 without quotes, which some YAML readers turn into a date; "
            'write "2024-01-01"',
        ),
        (
            "a: 12:30:00",
            {"a": "12:30:00"},
            "1:4: a: found 12:30:00 without quotes, which some YAML readers turn into seconds; "
            'write "12:30:00"',
        ),
        (
            "a: 0123",
            {"a": 83},
            '1:4: a: found 0123 without quotes, which YAML reads as 83; write 83, or "0123" for text',
        ),
        ("a: 1\na: 2", {"a": 2}, '2:1: a: found the key "a" twice, of which YAML keeps the last; remove one'),
    ],
)
def test_a_twist_is_reported_and_read_as_kubectl_does(text: str, value: object, problem: str) -> None:
    document = one(text)
    assert document.value == value
    assert [found.located for found in document.problems] == [problem]


def test_a_twist_behind_an_anchor_is_reported_once() -> None:
    assert len(one("a: &x [yes]\nb: *x\nc: *x").problems) == 1


def test_all_twists_of_a_document_are_reported_in_its_order() -> None:
    assert [problem.line for problem in one("a: yes\nb: [0123]\non: 1\n").problems] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: {b: ${x}}", '1:9: found an unquoted ${…} inside {…}; write it in quotes: "${…}"'),
        ("a: [${x}]", '1:6: found an unquoted ${…} inside […]; write it in quotes: "${…}"'),
        ("when: !has(x)", "1:7: found !has(x), which YAML takes for a tag; quote the whole value"),
        ("when: !x", "1:7: found !x, which YAML takes for a tag; quote the whole value"),
        ("when: !a.b == 1", "1:7: found !a.b, which YAML takes for a tag; quote the whole value"),
        ("when: !x && y", "1:10: found &&, expected the name of an anchor; quote the whole value"),
        ("when: a ? {b} : c", '1:15: found ": " within an unquoted value; quote the whole value'),
        (
            'when: "x" == y',
            "1:11: found text behind a closing quote; "
            "quote the whole value, in single quotes if it holds double ones",
        ),
        (
            "when: > 3",
            "1:9: found an unquoted >, which starts a block of text on the next line; quote the whole value",
        ),
        ("a: *b", "1:4: found *b, which stands for nothing; quote a value that begins with *"),
        ("a: &x [*x]", "1:8: found *x, which stands for nothing; quote a value that begins with *"),
        ("a: @b", "1:4: found @, with which no unquoted value may begin; quote the whole value"),
        ("a: `b`", "1:4: found `, with which no unquoted value may begin; quote the whole value"),
        ("a:\n\tb: 1", "2:1: found a tab where YAML wants spaces; indent with spaces"),
        ('a: "b', "1:4: found a quote that is never closed"),
        ("a: [1, 2", "1:4: found [ without its closing ]"),
        ("a: }", "1:4: found } without its opening {"),
        (
            "a: 1\n  b: 2",
            "2:4: found a further field below a value that ended above; "
            "align it with its neighbours, or quote the whole value if it goes on",
        ),
        ("a:\n  b: 1\n c: 2", "3:2: found a line that is indented unlike its neighbours; align it"),
        ("a: - 1", '1:4: found "- " behind a key; begin the list on the next line, or quote the whole value'),
        ('a: "\\q"', "1:6: found an unknown escape after a backslash; double it, or use single quotes"),
        ("a: \x01", "1:4: found the character U+0001, which YAML does not allow"),
        ("a: 1\nb: \x00", "2:4: found the character U+0000, which YAML does not allow"),
        ("? [1]\n: 2", "1:3: found a list as a key, expected text; quote a value that begins with { or ["),
        ("{a: 1}: 2", "1:1: found a mapping as a key, expected text; quote a value that begins with { or ["),
        ("a: !!python/name:os.system x", "1:4: found !!python/name:os.system, which YAML takes for a tag;"),
        ("a: .inf", "1:4: found .inf, which JSON has no number for; quote it if it is meant as text"),
        (
            "b: &x {c: 1}\na: {d: 1, <<: *x}",
            "2:11: found << below other fields, which it would override for kubectl; put it first",
        ),
        ("a: {<<: 1}", "1:9: found << without a mapping to merge, expected one"),
        ("%YAML 1.2\n---\na: 1", "2:1: found another %YAML version than 1.1, which kubectl refuses"),
    ],
)
def test_a_text_that_is_not_yaml_says_where_and_what_to_do(text: str, error: str) -> None:
    with pytest.raises(LoadError) as refused:
        load(text)
    assert str(refused.value).startswith(error)


def test_a_large_text_is_refused_unread() -> None:
    with pytest.raises(LoadError, match=f"found more than {MAX_BYTES} bytes"):
        load("#" + "é" * (MAX_BYTES // 2))


def test_deep_nesting_is_refused() -> None:
    assert one("[" * 64 + "]" * 64).value
    with pytest.raises(LoadError, match="found more than 64 levels of nesting"):
        load("[" * 10_000)


def test_aliases_cannot_nest_more_deeply_than_text_may() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 70)]
    with pytest.raises(LoadError, match="found more than 64 levels of nesting"):
        load("\n".join(lines))


def test_a_bomb_of_aliases_is_refused() -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(LoadError, match=f"found aliases that stand for more than {MAX_NODES} values"):
        load("\n".join(bomb))


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcyn01-", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_json)
def test_json_is_yaml_and_means_the_same(value: object) -> None:
    document = load(json.dumps(value, ensure_ascii=False))
    assert [found.value for found in document] == [value]


@given(st.text("ab:-[]{}&*!|>'\"%@`#?,\n\t $<0y", max_size=30))
def test_any_text_gives_documents_or_one_clear_error(text: str) -> None:
    refused: LoadError | None = None
    documents: tuple[Document, ...] = ()
    try:
        documents = load(text)
    except LoadError as error:
        refused = error
    json.dumps([document.value for document in documents], allow_nan=False)
    if refused is not None:
        assert refused.message
        assert refused.line >= 1
        assert refused.column >= 1
