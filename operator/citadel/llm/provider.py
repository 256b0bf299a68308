"""What a provider of models is asked, what it answers, and how it fails."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from citadel.api.model import Prices
from citadel.api.reasons import Reason
from citadel.core.jsonvalues import InvalidValue, Json, canonical, normalise
from citadel.core.spending import Amount, upper_bound

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
#: Tokens that a provider adds, in words of its own, to what it is told of tools.
TOOLS_TOKENS = 1024


@dataclass(frozen=True)
class ToolSpec:
    """A tool as a model is told of it."""

    name: str
    description: str = ""
    parameters: dict[str, Json] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of its arguments, which are an object."""


@dataclass(frozen=True)
class ToolCall:
    """A tool that a model wants called."""

    id: str
    name: str
    arguments: dict[str, Json]
    malformed: str | None = None
    """The arguments as the model wrote them, where that is no JSON object; `arguments` is empty then."""

    @property
    def text(self) -> str:
        """The arguments as protocols carry them."""
        return canonical(self.arguments).decode() if self.malformed is None else self.malformed


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant."""
    tool_call_id: str | None = None
    """Of a tool: which call this is the result of."""


@dataclass(frozen=True)
class Request:
    """One call of a provider."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of the one to be called; None leaves it to the provider."""
    schema: Json = None
    """JSON Schema that the answer's text is to fit: what is told the model, and checked by nobody here."""

    def upper_bound(self, prices: Prices | None) -> Amount:
        """The most that the call can take, tools and schema included."""
        texts = [message.text for message in self.messages]
        for message in self.messages:
            texts += [call.id + call.name + _longest(call) for call in message.tool_calls]
            texts += [] if message.tool_call_id is None else [message.tool_call_id]
        texts += [tool.name + tool.description + json.dumps(tool.parameters) for tool in self.tools]
        if self.schema is not None:
            # Once in words, and once as a field where the provider has one.
            texts += [json.dumps(self.schema)] * 2
        framing = TOOLS_TOKENS if self.tools or self.schema is not None else 0
        return upper_bound(texts, self.max_tokens, prices, framing)


@dataclass(frozen=True)
class Answer:
    """What a provider gave, and what it says that this took; None where it says nothing."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"


@dataclass(frozen=True)
class Delta:
    """A piece of an answer, as it comes: of its text, or of one tool call."""

    text: str = ""
    call: "CallDelta | None" = None


@dataclass(frozen=True)
class CallDelta:
    """A piece of a tool call. The first of each has its id and name."""

    index: int
    """Which of the answer's calls, from 0."""
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    """What is added to the arguments' text."""


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

    def prepare(self, request: Request, *, stream: bool) -> None:
        """Makes what the next call with this request sends: nothing goes out, and nothing fails here.

        Calls need not be prepared.
        """
        ...

    async def ask(self, request: Request) -> Answer:
        """One call; raises ProviderError."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta | Answer]:
        """The same, as it comes; ends with the whole answer, or raises ProviderError, also in its midst.

        Whoever breaks off closes it (`aclose`).
        """
        ...


def of_status(status: int, message: str, retry_after: float | None = None) -> ProviderError:
    """The error of a status by HTTP. What was refused with 4xx has cost nothing."""
    told = f"status {status}: {message}" if message else f"status {status}"
    if status == 429:
        return ProviderError(Reason.RATE_LIMITED, told, retry_after=retry_after, sent=False)
    if status in (408, 409, 425) or status >= 500:
        return ProviderError(Reason.MODEL_UNAVAILABLE, told, retry_after=retry_after)
    return ProviderError(Reason.MODEL_ERROR, told, sent=False)


def _longest(call: ToolCall) -> str:
    """Arguments as the wordiest client would write them: with spaces, and escapes for what is not ASCII."""
    return json.dumps(call.arguments) if call.malformed is None else call.malformed


def arguments_of(text: str) -> tuple[dict[str, Json], str | None]:
    """The arguments of a tool call, and their text where that is no JSON object."""
    try:
        value = normalise(text.encode("utf-8", "replace")) if text.strip() else {}
    except InvalidValue:
        return {}, text
    return (value, None) if isinstance(value, dict) else ({}, text)
