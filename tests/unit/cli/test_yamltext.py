"""Objects in YAML: whatever a text is, kubectl reads it back as it was."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from citadel.api.loader import load
from citadel.cli.yamltext import text_of_objects

TEXTS = [
    *("yes", "no", "on", "1", "010", "1:30", "2020-01-01", "null", "~", "", " x", "x ", "a: b", "# c", "- d"),
    *(
        "1e3",
        "0x1F",
        "true",
        "ünï",
        "line\nline2\n",
        "tab\tx",
        "\u2028",
        "trail \nx",
        "\n",
        "a\n\n",
        " lead\nx",
    ),
    *("=", "<<", "!x", "&a", "*b", "%c", "@d", "`e", "{f", "[g", "x #y", '"q', "'q", "1_000", ".5", ".inf"),
    *(
        "NaN",
        "0o7",
        "a\r\nb",
        "emoji 📦",
        "\x07bell",
        "\x85",
        "a\x85b\nc",
        "\ufeffx",
        "${inputs.a}",
        "---\nx",
    ),
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(text_of_objects([{"a": text}])) == {"a": text}


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(text_of_objects([{"a": text}])) == {"a": text}


def test_several_objects_are_several_documents_and_code_stands_in_a_block() -> None:
    objects: list[dict[str, Any]] = [{"kind": "A"}, {"kind": "B", "code": "one\ntwo\n"}]
    text = text_of_objects(objects)
    assert [document.value for document in load(text)] == objects
    assert "code: |\n" in text
