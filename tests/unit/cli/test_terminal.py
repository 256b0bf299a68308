"""Text of others on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.cli.terminal import one_line, safe, unbroken


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
        ("\u061cالف", "\\u061cالف"),
        ("ignore\U000e0041\U000e007f", "ignore\\U000e0041\\U000e007f"),
        ("\x1bP+q544e\x1b\\\\", "␛P+q544e␛\\\\"),
        ("\x1b]8;;http://evil\x1b\\\\click\x1b]52;c;cm0=\x07", "␛]8;;http://evil␛\\\\click␛]52;c;cm0=␇"),
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


@given(st.text(alphabet=st.characters() | st.sampled_from("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_nobody_begins_another_line(text: str) -> None:
    line = text.replace("\n", "")
    assert len(unbroken(line).splitlines()) == bool(line)
    assert unbroken(f"\x1b[31m{'ünï'}") == "\x1b[31münï"
