"""Durations and quantities as people write them, as numbers."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SUFFIXES = {
    "": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def seconds(duration: str) -> float:
    """Seconds of a duration such as `1h30m`, `2d` or `500ms`; raises ValueError for anything else."""
    parts = re.findall(r"([0-9]+)(ms|s|m|h|d)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"found {duration!r}, expected a duration such as 500ms, 30s or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def quantity(text: str) -> float:
    """The number a Kubernetes quantity such as `250m` or `64Mi` stands for; raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)", text)
    if match is None or match[2] not in _SUFFIXES:
        raise ValueError(f"found {text!r}, expected a quantity such as 250m, 1 or 64Mi")
    return float(match[1]) * _SUFFIXES[match[2]]
