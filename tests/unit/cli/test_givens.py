"""Inputs of a command line."""

from pathlib import Path
from typing import Any

import click
import pytest

from citadel.cli.givens import given_inputs

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string"},
        "limit": {"type": "integer"},
        "ratio": {"type": "number"},
        "dry": {"type": "boolean"},
        "tags": {"type": "array"},
        "either": {"type": ["string", "integer"]},
        "maybe": {"type": ["integer", "null"]},
        "shared": {"$ref": "#/$defs/count"},
        "round": {"$ref": "#/$defs/round"},
        "untyped": {},
    },
    "$defs": {"count": {"type": "integer"}, "round": {"$ref": "#/$defs/round"}},
}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("region=emea", {"region": "emea"}),
        ("region=7", {"region": "7"}),
        ("region=", {"region": ""}),
        ("region=a=b:=c", {"region": "a=b:=c"}),
        ("limit=10", {"limit": 10}),
        ("limit=ten", {"limit": "ten"}),
        ("ratio=0.5", {"ratio": 0.5}),
        ("dry=true", {"dry": True}),
        ('tags=["a"]', {"tags": ["a"]}),
        ("either=10", {"either": "10"}),
        ("maybe=null", {"maybe": None}),
        ("shared=10", {"shared": 10}),
        ("round=10", {"round": "10"}),
        ("untyped=10", {"untyped": "10"}),
        ("undeclared=10", {"undeclared": "10"}),
        ("region:=7", {"region": 7}),
        ('region:={"a": [1]}', {"region": {"a": [1]}}),
    ],
)
def test_text_is_what_the_schema_wants_and_json_is_json(pair: str, expected: dict[str, Any]) -> None:
    assert given_inputs([pair], [], SCHEMA) == expected


def test_without_a_schema_text_stays_text() -> None:
    assert given_inputs(["limit=10"], [], None) == {"limit": "10"}


def test_a_file_gives_its_text_or_the_json_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "tags.json").write_text('["a", "b"]\n')
    files = [f"region={tmp_path}/a.csv", f"tags={tmp_path}/tags.json"]
    assert given_inputs([], files, SCHEMA) == {"region": "x,y\n1,2\n", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("pairs", "files", "told"),
    [
        (["region"], [], "found 'region', expected name=value or name:=JSON"),
        (["=x"], [], "found '=x', expected name=value or name:=JSON"),
        ([":=1"], [], "found ':=1', expected name=value or name:=JSON"),
        (["a:={"], [], "found '{', expected JSON"),
        (["a:=NaN"], [], "JSON numbers are finite"),
        (["a=1", "a=2"], [], "input a is given twice"),
        ([], ["a=/no/such/file"], "input a: /no/such/file: No such file or directory"),
        ([], ["a"], "found 'a', expected name=path"),
    ],
)
def test_what_cannot_be_read_is_named(pairs: list[str], files: list[str], told: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        given_inputs(pairs, files, SCHEMA)
    assert told in caught.value.message
