"""`replace` of the standard library, at a tenth of its cost for what has no slots.

A state is copied with every event and has some thirty fields: that was most of what a transition cost.
"""

import dataclasses
from typing import Any, TypeVar

T = TypeVar("T")


def replace(item: T, /, **changes: Any) -> T:
    """A copy with these fields changed; raises TypeError for what is no field. Runs no `__post_init__`."""
    own = getattr(item, "__dict__", None)
    if own is None:
        return dataclasses.replace(item, **changes)  # type: ignore[type-var]
    if not own.keys() >= changes.keys():
        unknown = ", ".join(sorted(changes.keys() - own.keys()))
        raise TypeError(f"found {unknown}, expected fields of {type(item).__name__}")
    found = object.__new__(type(item))
    found.__dict__.update(own, **changes)
    return found
