"""What a provider of models is asked, what it answers, and how it fails."""

from dataclasses import dataclass
from typing import Literal, Protocol

from citadel.api.reasons import Reason


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Request:
    """One call of a provider."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a provider gave, and what it says that this took; None where it says nothing."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0


class ProviderError(Exception):
    """A call gave nothing. `sent` is false where it cannot have cost anything."""

    def __init__(
        self, reason: Reason, message: str, *, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_after, self.sent = reason, message, retry_after, sent

    @property
    def passes(self) -> bool:
        """Whether it may pass by itself."""
        return self.reason in (Reason.MODEL_UNAVAILABLE, Reason.RATE_LIMITED)


class Provider(Protocol):
    """A way to one model."""

    async def ask(self, request: Request) -> Answer:
        """One call; raises ProviderError."""
        ...


def of_status(status: int, message: str, retry_after: float | None = None) -> ProviderError:
    """The error of a status by HTTP. What was refused with 4xx has cost nothing."""
    told = f"status {status}: {message}" if message else f"status {status}"
    if status == 429:
        return ProviderError(Reason.RATE_LIMITED, told, retry_after=retry_after, sent=False)
    if status in (408, 409, 425) or status >= 500:
        return ProviderError(Reason.MODEL_UNAVAILABLE, told, retry_after=retry_after)
    return ProviderError(Reason.MODEL_ERROR, told, sent=False)
