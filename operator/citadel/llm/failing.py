"""How calls of providers fail: the errors that their clients have in common."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from pydantic import ValidationError

from citadel.api.reasons import Reason
from citadel.core.masking import Mask
from citadel.llm.provider import ProviderError

_MOST_TOLD = 512
#: What clients and LangChain raise of an answer that is none.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, IndexError)


def unreadable(told: str) -> ProviderError:
    """The error of an answer that is not what the protocol says."""
    return ProviderError(Reason.MODEL_ERROR, f"the answer cannot be read: {told}")


def broken_off() -> ProviderError:
    """The error of an answer whose end never came."""
    return ProviderError(Reason.MODEL_UNAVAILABLE, "the answer broke off")


def refused_credential(status: int) -> ProviderError:
    """The error of a key that the provider does not take. What it says of it may hold a part of the key."""
    message = f"the provider refused the credential: status {status}"
    return ProviderError(Reason.MODEL_ERROR, message, sent=False)


def first_cause(error: BaseException) -> BaseException:
    """What went wrong before clients wrapped it in errors of their own, once or twice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def told_without(error: BaseException, *secrets: str) -> str:
    """What an error says, without what nobody is to read."""
    text = str(getattr(error, "message", "") or error or type(error).__name__)
    if isinstance(error, ValidationError):
        text = text.partition("\n")[0]  # further lines hold what was found
    for secret in secrets:
        text = Mask(secret).text(text)
    return text[:_MOST_TOLD]


def seconds_of(text: str | None) -> float | None:
    """What a Retry-After says, be it seconds or a date."""
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        try:
            found = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, found) if isfinite(found) else None
