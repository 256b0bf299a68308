"""The Model resource: a language model that steps may ask, where it is, and what it costs."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.budget import Dollars
from citadel.api.egress import url_of_a_host
from citadel.api.meta import Duration, KeyRef, Model, ObjectName

Provider = Literal["anthropic", "openai", "bedrock", "huggingface", "scripted"]
#: Where a provider is that is not told otherwise.
DEFAULT_ENDPOINTS = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "huggingface": "https://router.huggingface.co/v1",
}
#: Tokens of an answer, where nobody says how many.
DEFAULT_TOKENS = 1024
ENDPOINT_PATTERN = r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
MaxTokens = Annotated[int, Field(ge=1, le=200_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
_Text = Annotated[str, StringConstraints(max_length=65536)]


class Parameters(Model):
    """How the model answers; what a step says of its own goes before."""

    temperature: Temperature | None = None
    """How much is left to chance; without it what the provider takes."""
    max_tokens: MaxTokens = DEFAULT_TOKENS
    """Most tokens of an answer: what is reserved for it before each call."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the likeliest words that is chosen among."""
    stop: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...], Field(max_length=4)
    ] = ()
    """Texts at which an answer ends."""


class Prices(Model):
    """Dollars for a million tokens, as decimals."""

    input: Dollars
    """Of what is sent."""
    output: Dollars
    """Of what is answered."""
    cached_input: Dollars | None = None
    """Of what is sent and the provider has in its cache; without it as input."""


class ModelCredential(Model):
    """How the provider is paid."""

    secret_key_ref: KeyRef
    """A key of a Secret in the namespace of the Model. Its annotation citadel.dev/hosts lists, as host:port
    with commas between, where it may be sent; without it the provider's own endpoint alone."""


class RateLimit(Model):
    """What is asked of the model in any 60 seconds at most; what is beyond waits."""

    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Calls."""
    tokens_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Tokens, counted as they are reserved."""


class ScriptedUsage(Model):
    """What a scripted answer counts."""

    input_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Tokens of what was sent."""
    output_tokens: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Tokens of the answer."""


class ScriptedError(Model):
    """What a provider answers that does not answer."""

    status: Annotated[int, Field(ge=400, le=599)]
    """Status by HTTP: 429 is too many requests, 500 and above pass by themselves, others stay."""
    message: Annotated[str, StringConstraints(max_length=1024)] = ""
    """What it says."""


class ScriptedToolCall(Model):
    """A call of a tool that a scripted answer asks for."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """What it calls, whether there is such a tool or not."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Arguments by name."""
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """What the call is known by; without it one that follows from its place."""


class ScriptedAnswer(Model):
    """One answer of a script: exactly one of text, json, error and toolCalls, or text beside toolCalls."""

    when: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Regular expression that the last message must match somewhere; without it any does."""
    turn: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many answers of the model the conversation must hold before this one; without it any number."""
    system: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Regular expression that what the model is told first must match somewhere; without it any does."""
    text: _Text | None = None
    """The answer, word for word."""
    json_value: Any = Field(alias="json", default=None)
    """The answer, as JSON."""
    tool_calls: Annotated[tuple[ScriptedToolCall, ...], Field(max_length=32)] = ()
    """Tools that it asks for."""
    error: ScriptedError | None = None
    """What fails instead."""
    usage: ScriptedUsage | None = None
    """Tokens that are counted; without it a token for each four bytes."""
    delay: Duration | None = None
    """How long the answer takes."""

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        calls = self.tool_calls or None
        given = {"text": self.text, "json": self.json_value, "error": self.error, "toolCalls": calls}
        found = [name for name, value in given.items() if value is not None]
        if len(found) != 1 and found != ["text", "toolCalls"]:
            raise ValueError(
                f"found {' and '.join(found) or 'none'} of text, json, error and toolCalls,"
                " expected exactly one, or text beside toolCalls"
            )
        return self


class ModelCache(Model):
    """Which answers need not be paid for again."""

    ttl: Duration
    """How long an answer is given again to the same request of the same namespace."""


class ModelSpec(Model):
    """A language model: who provides it, how it is asked, and what it costs."""

    provider: Provider
    """Who answers. openai: also servers that speak its protocol, by endpoint; scripted: the script below."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """What the provider calls the model; needless for scripted."""
    endpoint: (
        Annotated[
            str,
            StringConstraints(pattern=ENDPOINT_PATTERN, max_length=512),
            AfterValidator(url_of_a_host),
        ]
        | None
    ) = None
    """URL where the provider answers, with the full name of a host; without it the provider's own. A
    credential is sent over https alone."""
    parameters: Parameters = Parameters()
    """How it answers."""
    prices: Prices | None = None
    """What it costs. Without it calls count no dollars, and are refused where a budget is in dollars; a
    scripted one costs nothing then."""
    credential: ModelCredential | None = None
    """How the provider is paid."""
    fallbacks: Annotated[tuple[ObjectName, ...], Field(max_length=4)] = ()
    """Models that are asked instead, in this order, when this one cannot be: found as this one was."""
    rate_limit: RateLimit | None = None
    """How often it is asked at most."""
    timeout: Duration = "2m"
    """Longest time of one call."""
    cache: ModelCache | None = None
    """Answers of requests with temperature 0, and of scripts, are kept and cost nothing when they are asked
    for again; where the installation has Redis."""
    script: Annotated[tuple[ScriptedAnswer, ...], Field(max_length=100)] = ()
    """Answers of a scripted model: the first whose condition fits is given, each time anew."""

    @property
    def url(self) -> str | None:
        """Where it is asked; None for one that is nowhere."""
        return self.endpoint or DEFAULT_ENDPOINTS.get(self.provider)

    @property
    def destination(self) -> str | None:
        """The same as `host:port`."""
        return None if self.url is None else destination_of(self.url)

    @model_validator(mode="after")
    def _fits_its_provider(self) -> Self:
        if self.provider == "scripted":
            for name in ("endpoint", "credential"):
                if getattr(self, name) is not None:
                    raise ValueError(f"found {name}, which means nothing for the provider scripted")
            if not self.script:
                raise ValueError("found no script, expected at least one answer: the provider is scripted")
            return self
        if self.model is None:
            raise ValueError(f"found no model, expected what the provider {self.provider} calls it")
        if self.url is None:
            raise ValueError(
                f"found no endpoint, expected where the provider {self.provider} answers, such as"
                " https://bedrock-runtime.us-east-1.amazonaws.com"
            )
        if self.script:
            raise ValueError(f"found a script, which means nothing for the provider {self.provider}")
        if self.credential is not None and str(self.url).startswith("http:"):
            raise ValueError("found a credential and an endpoint without TLS, expected https")
        return self


def destination_of(url: str) -> str:
    """`host:port` of a URL."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
