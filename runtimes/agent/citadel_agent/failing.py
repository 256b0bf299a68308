"""How an attempt fails: with the reason that the other side gives, where it gives one."""

from citadel_harness.failures import Failure

#: Reasons of the door that end an attempt; everything else is a passing trouble, or an error of ours.
REASONS = frozenset(
    (
        "BudgetExceeded",
        "HostNotAllowed",
        "ModelError",
        "ModelNotFound",
        "ModelUnavailable",
        "RateLimited",
        "ReplayMismatch",
        "SecretForbidden",
        "SecretNotFound",
        "Timeout",
        "ToolLimitExceeded",
        "TurnLimitExceeded",
    )
)
#: Seconds between tries while the other side is away; the step's timeout bounds them all.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
_NO_ANSWER = (0, 404, 408, 425, 429, 500, 502, 503, 504)


class Refused(Exception):
    """The other side gives no answer, and says why; status 0 where it says so amid one."""

    def __init__(self, status, said):
        super().__init__(status)
        self.status, self.said = status, said


def reason_of(error):
    """The reason that the body of an error names, None if it names none."""
    if not isinstance(error, dict):
        return None
    named = error.get("code") or error.get("reason")
    return named if named in REASONS else None


def pauses():
    """How long to wait before each further try, without end."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, 2 * pause)


def passes(status, error):
    """Whether the same request may be answered a little later: nobody has said no."""
    return reason_of(error) is None and status in _NO_ANSWER


def ended(status, error):
    """The failure that the answer to a request is."""
    said = error.get("message") if isinstance(error, dict) else None
    message = said if isinstance(said, str) and said else f"found status {status}, expected an answer"
    return Failure(reason_of(error) or "Error", message)
