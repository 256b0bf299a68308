"""When a failed attempt is followed by another."""

from citadel.api.durations import seconds
from citadel.api.step import Retry


def next_delay(retry: Retry | None, attempt: int, reason: str) -> float | None:
    """Seconds between attempt `attempt` (counted from 1) and the next; None when there is no next."""
    if retry is None or attempt >= retry.attempts or reason not in retry.reasons:
        return None
    backoff = retry.backoff
    return min(seconds(backoff.initial) * backoff.factor ** (attempt - 1), seconds(backoff.max))
