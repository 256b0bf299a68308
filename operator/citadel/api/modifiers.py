"""What is said of a step beside what it does: repetition, failure, files, memory."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from citadel.api.meta import ArgumentName, Duration, Expression, Model

#: Reasons of failed attempts after which another attempt may end differently.
Retriable = Literal[
    "Error",
    "Timeout",
    "OOMKilled",
    "SandboxLost",
    "Evicted",
    "SandboxStartFailed",
    "ImagePullFailed",
    "Unschedulable",
    "ConfigMapNotFound",
    "SecretNotFound",
    "SecretForbidden",
    "ChildFailed",
    "ModelNotFound",
    "ModelUnavailable",
    "RateLimited",
    "AgentNotFound",
    "ToolNotFound",
    "ToolFailed",
    "ToolUnavailable",
    "TurnLimitExceeded",
    "InvalidOutput",
]


class Backoff(Model):
    """Pause before each further attempt: initial, then times factor, up to max."""

    initial: Duration = "1s"
    """Pause before the second attempt."""
    factor: Annotated[float, Field(ge=1, le=100)] = 2
    """What each pause is multiplied with to give the next."""
    max: Duration = "5m"
    """Longest pause."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0
    """Share of each pause that is taken off at random, so that many do not come back at once."""


class Retry(Model):
    """When a failed attempt is followed by another."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How many attempts in all."""
    backoff: Backoff = Backoff()
    """Pauses between them."""
    reasons: Annotated[tuple[Retriable, ...], Field(max_length=32)] = (
        "Error",
        "Timeout",
        "OOMKilled",
        "SandboxLost",
        "Evicted",
        "ChildFailed",
        "ModelUnavailable",
        "RateLimited",
        "ToolUnavailable",
    )
    """Failure reasons that are retried."""


class ForEach(Model):
    """Runs the step once for each item, in scope as item and index. Gives their outputs as a list."""

    items: Any
    """A list, or a map whose items have key and value; may be an expression in dollar-brace form."""
    parallelism: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many items may be under way at a time."""
    fail_fast: bool = True
    """Whether the first item that fails ends the loop; else its output is null and the others go on."""


class Repeat(Model):
    """Runs the step again and again, with iteration (from 1) and previous in scope. Gives the last output."""

    until: Expression | None = None
    """CEL condition over output, asked after each iteration; without it there are max iterations."""
    max: Annotated[int, Field(ge=1, le=10000)] = 10
    """Most iterations; the step fails if until does not hold after them."""
    delay: Duration | None = None
    """Pause before each further iteration."""


class Cache(Model):
    """Takes the output of an earlier run on the same code, image and inputs in this namespace. The step has a
    sandbox of its own, and takes nothing by valueFrom."""

    key: Any = None
    """What else the output depends on; may hold expressions in dollar-brace form."""
    ttl: Duration | None = None
    """How old an output may be; without it 30 days."""


_Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Artifacts(Model):
    """Files and trees that a step takes of other steps, and those that it leaves to them."""

    out: Annotated[dict[ArgumentName, _Path], Field(max_length=8)] = Field(default_factory=dict)
    """What is kept when an attempt succeeds: a file or directory of /work, /data or /tmp, by name."""
    taken: Annotated[dict[_Path, Annotated[str, StringConstraints(max_length=160)]], Field(max_length=8)] = (
        Field(alias="in", default_factory=dict)
    )
    """What is to stand at a path in /work or /data before the code starts: steps.<step>.artifacts.<name>."""
