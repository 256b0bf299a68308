"""Text of others on a terminal: what would steer the terminal is shown instead of obeyed.

User code, models and cluster messages are not trusted: an escape sequence can rewrite lines already shown,
set the window's title or answer on the user's behalf.
"""

import re

#: C0 but tab and newline, DEL, C1, the characters that reorder what is read, and those that say something
#: to programs and nothing to people: annotations, and the invisible copies of ASCII.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
#: What some programs take for the end of a line, though it is none.
_BREAKING = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_BREAKS = re.compile(r"[\n\t]+")


def safe(text: str) -> str:
    """The text with every steering character made visible (`␛[2J`); newlines and tabs stay."""
    return _STEERING.sub(_visible, text)


def unbroken(text: str) -> str:
    """One line of text, on which nobody can begin another; all else stays as it is."""
    return _BREAKING.sub(_visible, text)


def one_line(text: str) -> str:
    """As `safe`, and on one line."""
    return _BREAKS.sub(" ", safe(text)).strip()


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
