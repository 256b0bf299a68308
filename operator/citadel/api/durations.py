"""Durations and quantities as people write them, as numbers."""

import re
from datetime import UTC, datetime

#: A century: what lasts longer would end at times that no calendar of Python's has.
LONGEST = 36_525 * 86_400.0
_LAST = datetime(9999, 12, 1, tzinfo=UTC).timestamp()
_DAY, _CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_MOMENT = re.compile(f"{_DAY}([T ]{_CLOCK}(Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SUFFIXES = {
    "": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def seconds(duration: str) -> float:
    """Seconds of a duration such as `1h30m`, `2d` or `500ms`, a century at most; raises ValueError."""
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"found {duration!r}, expected a duration such as 500ms, 30s or 1h30m")
    # Nobody waits for what has more digits, and Python would not convert them all.
    return min(LONGEST, sum(int(number.lstrip("0")[:15] or 0) * _UNITS[unit] for number, unit in parts))


def moment(text: str) -> float:
    """Seconds since the epoch of a time such as `2030-01-31T08:00:00Z`; raises ValueError.

    A day alone begins at midnight; without an offset it is UTC.
    """
    try:
        if _MOMENT.fullmatch(text) is None:
            raise ValueError
        found = datetime.fromisoformat(text.upper())
        return min(_LAST, (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f"found {text!r:.60}, expected a time such as 2030-01-31T08:00:00Z") from None


def quantity(text: str) -> float:
    """The number a Kubernetes quantity such as `250m` or `64Mi` stands for; raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)", text)
    if match is None or match[2] not in _SUFFIXES:
        raise ValueError(f"found {text!r}, expected a quantity such as 250m, 1 or 64Mi")
    return float(match[1]) * _SUFFIXES[match[2]]
