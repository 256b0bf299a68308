"""When a failed attempt is followed by another."""

import hashlib

from citadel.api.durations import seconds
from citadel.api.modifiers import Retry


def next_delay(retry: Retry | None, attempt: int, reason: str, seed: str = "") -> float | None:
    """Seconds between attempt `attempt` (counted from 1) and the next; None when there is no next.

    The same `seed` and attempt give the same jitter: a decision that is made again is the same.
    """
    if retry is None or attempt >= retry.attempts or reason not in retry.reasons:
        return None
    backoff = retry.backoff
    delay = min(seconds(backoff.initial) * backoff.factor ** (attempt - 1), seconds(backoff.max))
    if not backoff.jitter:
        return delay
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{attempt}".encode()).digest()[:4]) / 2**32
    return delay * (1 - backoff.jitter * drawn)
