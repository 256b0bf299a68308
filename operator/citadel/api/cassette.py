"""What agents did in an execution, as a file: their calls of models and tools, and what these gave.

`citadel record` writes one and `citadel replay` runs the same agents by it, without any model. Fields are
added with defaults; a file of a later version is refused by its `version`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from citadel.api.meta import Model

VERSION = 1


class ModelCall(Model):
    """One call of a model, and its answer."""

    digest: str
    """Digest of the request, without what only says how the answer is sent."""
    answer: dict[str, Any]
    """The answer, as the agent got it."""
    model: str = ""
    """The Model that answered."""
    input_tokens: int = 0
    """Tokens of what was sent."""
    output_tokens: int = 0
    """Tokens of the answer."""
    cost: str = "0"
    """Dollars."""
    request: dict[str, Any] | None = None
    """What was asked; only where prompts are recorded."""


class ToolCall(Model):
    """One call of a tool, and what became of it."""

    tool: str
    """The name by which the agent called it."""
    arguments: Any = None
    """Its arguments."""
    status: Literal["Succeeded", "Failed"]
    """What became of it."""
    output: Any = None
    """What it gave."""
    reason: str = ""
    """Why it failed."""
    message: str = ""
    """The same, in words."""


class RecordedAttempt(Model):
    """One attempt of an agent step that came to an end."""

    step: str
    """The step; behind that of the execution around it, as in bill/write."""
    attempt: int
    """Which one, from 1."""
    agent: dict[str, Any]
    """All that the agent was given."""
    models: tuple[ModelCall, ...] = ()
    """Its calls of models, in their order."""
    tools: tuple[ToolCall, ...] = ()
    """Its calls of tools, in their order."""
    status: Literal["Succeeded", "Failed"]
    """What became of it."""
    output: Any = None
    """What it gave."""
    reason: str = ""
    """Why it failed."""
    message: str = ""
    """The same, in words."""


class Cassette(Model):
    """What the agents of an execution did."""

    version: Annotated[int, Field(ge=1, le=VERSION)]
    """Version of this format."""
    execution: str
    """Name of the execution."""
    namespace: str
    """Its namespace; `local` of a run on a developer's machine."""
    workflow: str
    """The Workflow that it ran."""
    attempts: tuple[RecordedAttempt, ...] = ()
    """Attempts of agent steps, in the order in which they began."""


def on_the_wire(cassette: Cassette) -> dict[str, Any]:
    """A recording as JSON."""
    return cassette.model_dump(by_alias=True, exclude_defaults=True, mode="json") | {"version": VERSION}
