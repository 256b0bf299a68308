"""Text of others on a terminal: what would steer the terminal is shown instead of obeyed.

User code, models and cluster messages are not trusted: an escape sequence can rewrite lines already shown,
set the window's title or answer on the user's behalf.
"""

import re

#: C0 but tab and newline, DEL, C1, and the characters that reorder what is read.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BREAKS = re.compile(r"[\n\t]+")


def safe(text: str) -> str:
    """The text with every steering character made visible (`␛[2J`); newlines and tabs stay."""
    return _STEERING.sub(_visible, text)


def one_line(text: str) -> str:
    """As `safe`, and on one line."""
    return _BREAKS.sub(" ", safe(text)).strip()


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}"
