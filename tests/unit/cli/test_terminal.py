"""Text of others on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.cli.terminal import one_line, safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ✓ ünï\ttab\n", "plain ✓ ünï\ttab\n"),
        ("\x1b[2Jgone", "␛[2Jgone"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("over\rwritten", "over␍written"),
        ("\x7f\x08", "␡␈"),
        ("\x9b31m", "\\u009b31m"),
        ("file\u202etxt.exe", "file\\u202etxt.exe"),
    ],
)
def test_what_steers_a_terminal_is_shown(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(st.text())
def test_nothing_that_is_left_steers_a_terminal(text: str) -> None:
    left = set(safe(text)) - {"\t", "\n"}
    assert not {char for char in left if ord(char) < 32 or 127 <= ord(char) < 160}
    assert safe(safe(text)) == safe(text)


def test_one_line_has_no_breaks() -> None:
    assert one_line(" a\n\n b\tc ") == "a  b c"
