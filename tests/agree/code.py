"""What the steps of generated workflows run, and the same in a function for the interpreter."""

from collections.abc import Mapping
from typing import Any

#: What each attempt prints, once.
MARK = "ran"

CODE = f"""import os


def size(value):
    if value is None:
        return 0
    return value if isinstance(value, int) else len(value)


def main(fails=0, flaky=0, wide=0, **given):
    print("{MARK}")
    total = sum(map(size, given.values()))
    if int(os.environ["CITADEL_ATTEMPT"]) < flaky:
        raise ValueError("not yet")
    if fails and total % fails == 0:
        raise ValueError(f"boom {{total}}")
    return "x" * (wide + total % 17) if wide else total % 17
"""
_SETTINGS = ("fails", "flaky", "wide")


class Failing(Exception):
    """The attempt fails."""


def computed(given: Mapping[str, Any], attempt: int = 1) -> int | str:
    """What CODE gives for these arguments; raises Failing."""
    total = sum(_size(value) for name, value in given.items() if name not in _SETTINGS)
    fails, flaky, wide = (given.get(name, 0) for name in _SETTINGS)
    if attempt < flaky:
        raise Failing("not yet")
    if fails and total % fails == 0:
        raise Failing(f"boom {total}")
    return "x" * (wide + total % 17) if wide else total % 17


def _size(value: Any) -> int:
    if value is None:
        return 0
    return value if isinstance(value, int) else len(value)
