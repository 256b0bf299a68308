"""How much a long proof does: a part of it in the tests, all of it in `make proofs`."""

import os
from typing import TypeVar

T = TypeVar("T")
ALL = os.environ.get("CITADEL_PROOFS") == "all"


def of(part: T, whole: T) -> T:
    """What is asked for now."""
    return whole if ALL else part
