"""The Agent resource: a model that works on a task in turns, the tools it may call, and what it may spend."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.actions import Approvers
from citadel.api.budget import Dollars, Tokens
from citadel.api.meta import Duration, Expression, KeyRef, Model, ObjectName
from citadel.api.model import MaxTokens, Temperature
from citadel.api.versions import VERSION_PATTERN, VERSION_RANGE_PATTERN
from citadel.api.workflow import DefinitionStatus

#: What a model calls a tool; it is part of the names of its calls, too.
TOOL_NAME_PATTERN = r"^[a-z][A-Za-z0-9_]{0,40}$"
#: What else stands below an agent step.
RESERVED_TOOLS = frozenset({"compensate", "onError", "refused"})
CAPABILITY_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
MAX_TOOLS = 64
Version = Annotated[str, StringConstraints(pattern=VERSION_PATTERN, max_length=64)]
VersionRange = Annotated[str, StringConstraints(pattern=VERSION_RANGE_PATTERN, max_length=128)]
Description = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_Capability = Annotated[str, StringConstraints(pattern=CAPABILITY_PATTERN, max_length=63)]


class SystemSource(Model):
    """Where the text stands that an agent is told first."""

    config_map_key_ref: KeyRef
    """A key of a ConfigMap in the namespace of the Agent; read and pinned when an execution starts."""


class Constraint(Model):
    """What the arguments of a call must fulfil."""

    rule: Expression
    """CEL condition over args, the arguments of the call."""
    message: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    """What the agent is told of a call that does not fulfil it; without it the rule."""


class ToolApproval(Model):
    """Asks people before a call is made: they see the tool and the arguments, and what runs is just that."""

    approvers: Approvers
    """Who may decide."""
    reason_required: bool = False
    """Whether a decision needs a reason."""
    timeout: Duration | None = None
    """How long a call waits for a decision; it is refused then."""


class AgentTool(Model):
    """One tool that an agent may call, and within which bounds."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN, max_length=41)]
    """What the model calls it."""
    tool: ObjectName | None = None
    """A Tool of the namespace of the Agent, else a shared one of the operator's namespace."""
    agent: ObjectName | None = None
    """An Agent, found likewise, that works on what it is given, as a tool of this one."""
    function: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Which function of an MCP server; meaningless for any other tool."""
    description: Description | None = None
    """What the model is told of it; without it what the Tool or Agent says."""
    constraints: Annotated[tuple[Constraint, ...], Field(max_length=32)] = ()
    """What the arguments must fulfil, all of it; a call that does not is refused, and the model is told."""
    max_calls: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most calls of it in one attempt of the step; without it only limits.toolCalls counts."""
    require_approval: ToolApproval | None = None
    """Asks people before each call."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.tool is None) == (self.agent is None):
            given = "none" if self.tool is None else "tool and agent"
            raise ValueError(f"found {given} of tool and agent, expected exactly one")
        if self.agent is not None and self.function is not None:
            raise ValueError("found function, which means nothing for an agent; leave it out")
        if self.name in RESERVED_TOOLS:
            raise ValueError(f"found the name {self.name!r}, which is reserved, expected another")
        return self


class AgentBudget(Model):
    """What an agent may cost: each step that runs it, in all its attempts, and each day in a namespace."""

    cost: Dollars | None = None
    """Dollars of one step, such as 0.50."""
    tokens: Tokens | None = None
    """Tokens of one step, what is sent and what is answered together."""
    cost_per_day: Dollars | None = None
    """Dollars of all its steps in a namespace in one day, as UTC counts days."""
    tokens_per_day: Tokens | None = None
    """Tokens of all its steps in a namespace in one day."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self.model_fields_set or all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("found none of cost, tokens, costPerDay and tokensPerDay, expected at least one")
        return self


class AgentLimits(Model):
    """How long an agent may go on."""

    turns: Annotated[int, Field(ge=1, le=1000)] = 25
    """Most answers of its model in one attempt."""
    tool_calls: Annotated[int, Field(ge=0, le=1000)] = 50
    """Most calls of tools in one attempt, refused ones included; the step fails beyond."""


class Memory(Model):
    """What an agent remembers of a conversation."""

    max_tokens: Annotated[int, Field(ge=100, le=200_000)] = 8000
    """Tokens beyond which older turns are summarised."""


class Dependency(Model):
    """Something that an agent needs, in one of the versions that fit."""

    name: ObjectName
    """Its name."""
    version: VersionRange | None = None
    """Versions that fit, such as >=1.0,<2; without it any."""


class Dependencies(Model):
    """What an agent needs. It is not Ready while something of it is missing or has a version that does not
    fit."""

    agents: Annotated[tuple[Dependency, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Agents, by spec.version."""
    tools: Annotated[tuple[Dependency, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Tools, by spec.version."""
    runtimes: Annotated[tuple[Dependency, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Runtimes, by their annotation citadel.dev/version."""


class Compatibility(Model):
    """Which Citadel an agent was made for."""

    citadel: VersionRange | None = None
    """Versions of Citadel."""
    protocol: VersionRange | None = None
    """Versions of the protocol between an agent and what is around it."""


def _takes_a_prompt() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"prompt": {"type": "string"}},
        "required": ["prompt"],
        "additionalProperties": False,
    }


class AgentSpec(Model):
    """A model that works on a task in turns: what it is told, which tools it may call, what it may spend."""

    model: ObjectName
    """A Model of the namespace, else a shared one of the operator's namespace."""
    system: Annotated[str, StringConstraints(min_length=1, max_length=262144)] | None = None
    """What it is told first."""
    system_from: SystemSource | None = None
    """Where that text stands instead."""
    description: Description | None = None
    """What other agents are told of it."""
    parameters: dict[str, Any] = Field(default_factory=_takes_a_prompt)
    """JSON Schema of what it takes as a tool of another agent, an object; without it one text, prompt."""
    tools: Annotated[
        tuple[AgentTool, ...], Field(max_length=MAX_TOOLS, json_schema_extra={"map": "name"})
    ] = ()
    """Tools that it may call; there are no others."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of its output; that of the step goes before. Without either it gives text."""
    repairs: Annotated[int, Field(ge=0, le=5)] = 2
    """How often it is asked again when its output does not fit the schema."""
    budget: AgentBudget | None = None
    """What it may cost; a call that could go beyond is refused, and its step fails."""
    limits: AgentLimits = AgentLimits()
    """How long it may go on."""
    max_tokens: MaxTokens | None = None
    """Most tokens of one answer of its model; without it what the Model says."""
    temperature: Temperature | None = None
    """How much is left to chance; without it what the Model says."""
    memory: Memory | None = None
    """What it remembers of a conversation; without it nothing."""
    capabilities: Annotated[tuple[_Capability, ...], Field(max_length=32)] = ()
    """Names of what it can do, by which others look it up."""
    version: Version | None = None
    """Its version, such as 1.2.0."""
    depends_on: Dependencies = Dependencies()
    """What it needs, in which versions."""
    compatibility: Compatibility = Compatibility()
    """Which Citadel it was made for."""
    runtime: ObjectName = "agent"
    """Runtime in whose sandbox it runs: a Python image with the agent's loop."""

    @model_validator(mode="after")
    def _told_once(self) -> Self:
        if self.system is not None and self.system_from is not None:
            raise ValueError("found system and systemFrom, expected at most one")
        if self.parameters.get("type") != "object":
            raise ValueError(
                f"found parameters of the type {self.parameters.get('type')!r}, expected a JSON Schema"
                " with type: object"
            )
        return self


class AgentStatus(DefinitionStatus):
    """Whether steps can run an agent."""

    tools: Annotated[int, Field(ge=0)] = 0
    """How many tools it may call."""
