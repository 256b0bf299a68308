"""What a step does: code in a language runtime, a container, or control flow that needs no sandbox."""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.budget import Budget
from citadel.api.meta import ENV_NAME_PATTERN, Expression, KeyRef, Model, ObjectName, Quantity, Revision
from citadel.api.model import MaxTokens, Temperature

#: A module that Python or Node.js can import, and the name of a function in it.
ENTRYPOINT_PATTERN = r"^[A-Za-z0-9_@.~/][A-Za-z0-9_@.~/-]*:[A-Za-z_$][A-Za-z0-9_$]*$"
#: A name by which a signal is sent and waited for.
SIGNAL_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
SignalName = Annotated[str, StringConstraints(pattern=SIGNAL_PATTERN, max_length=63)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]


class ResourceList(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = None
    """Processor cores, such as 250m or 1."""
    memory: Quantity | None = None
    """Bytes of memory, such as 128Mi."""


class Resources(Model):
    """What a sandbox asks for and may use at most."""

    requests: ResourceList = ResourceList()
    """What the scheduler reserves."""
    limits: ResourceList = ResourceList()
    """What may never be exceeded."""


class EnvVar(Model):
    """One environment variable."""

    name: Annotated[str, StringConstraints(pattern=ENV_NAME_PATTERN, max_length=253)]
    """Name of the variable; the prefix CITADEL_ is reserved."""
    value: Annotated[str, StringConstraints(max_length=32768)] = ""
    """Its value; may hold expressions in dollar-brace form."""

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        if self.name.startswith("CITADEL_"):
            raise ValueError(f"found {self.name!r}, expected a name without the reserved prefix CITADEL_")
        return self


class CodeSource(Model):
    """Where code stands that is not written into the step."""

    config_map_key_ref: KeyRef
    """A key of a ConfigMap in the namespace of the execution; read and pinned when it starts."""


class Run(Model):
    """Code in a language runtime. It gets `with` as its arguments and returns its output."""

    runtime: ObjectName
    """A Runtime of this namespace, else a shared one of the operator's namespace."""
    code: Annotated[str, StringConstraints(min_length=1, max_length=262144)] | None = None
    """Source text with the entry point of the language: in Python a function main, in JavaScript the default
    export, in Go a function Main of package main, in Java a static method main of a class."""
    code_from: CodeSource | None = None
    """Where the source text stands instead."""
    entrypoint: (
        Annotated[str, StringConstraints(min_length=3, max_length=512, pattern=ENTRYPOINT_PATTERN)] | None
    ) = None
    """A function that the image of the Runtime brings along instead, as module:function: in Python
    jobs.load:main, in JavaScript /app/load.mjs:default or a package."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Environment variables of the code."""
    resources: Resources = Resources()
    """Overrides of the Runtime's resources."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = {"code": self.code, "codeFrom": self.code_from, "entrypoint": self.entrypoint}
        given = [name for name, source in sources.items() if source is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"found {found} of code, codeFrom and entrypoint, expected exactly one")
        return self


class Container(Model):
    """Any image, in a sandbox of its own. It reads the JSON file CITADEL_INPUT and writes CITADEL_OUTPUT."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
    """Image reference."""
    command: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=32768)], ...], Field(min_length=1, max_length=64)
    ]
    """Program and first arguments; never templated."""
    args: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=32768)], ...], Field(max_length=256)
    ] = ()
    """Further arguments; never templated, but $(NAME) takes the value of an environment variable."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Environment variables."""
    resources: Resources = Resources()
    """Resources of the sandbox."""


class Case(Model):
    """One case of a switch."""

    when: Expression
    """CEL condition."""
    value: Any = None
    """Output of the step if this is the first case whose condition holds; may hold expressions in
    dollar-brace form."""


class Switch(Model):
    """Chooses a value: that of the first case that holds, else the default. Without one it is skipped."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=64)]
    """Cases in the order in which they are tried."""
    default: Any = None
    """Output of the step if no case holds; may hold expressions in dollar-brace form."""


class Wait(Model):
    """Waits for a time or a signal, without a sandbox. Gives what the signal brought, else null."""

    duration: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        alias="for", default=None
    )
    """How long to wait, such as 1h30m; may hold an expression in dollar-brace form."""
    until: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Until when to wait, such as 2030-01-31T08:00:00Z; may hold an expression in dollar-brace form."""
    signal: SignalName | None = None
    """Name of the signal to wait for; one that came before the step began counts too."""

    @model_validator(mode="after")
    def _one_reason(self) -> Self:
        given = {"for": self.duration, "until": self.until, "signal": self.signal}
        found = [name for name, value in given.items() if value is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {' and '.join(found) or 'none'} of for, until and signal, expected exactly one"
            )
        return self


class Llm(Model):
    """Asks a language model once. Gives its text, or the JSON that the step's outputSchema asks for."""

    model: ObjectName
    """A Model of this namespace, else a shared one of the operator's namespace."""
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=262144)]
    """What is asked; may hold expressions in dollar-brace form."""
    system: Annotated[str, StringConstraints(min_length=1, max_length=262144)] | None = None
    """What the model is told before; may hold expressions in dollar-brace form."""
    max_tokens: MaxTokens | None = None
    """Most tokens of the answer; without it what the Model says."""
    temperature: Temperature | None = None
    """How much is left to chance; without it what the Model says."""
    repairs: Annotated[int, Field(ge=0, le=5)] = 2
    """How often the model is asked again when its answer does not fit outputSchema."""
    budget: Budget | None = None
    """What the step may cost in all its attempts; a call that could go beyond is refused."""


class Agent(Model):
    """Has an agent work on a task, in a sandbox of its own. `with` is shown to it as JSON after the prompt;
    gives its text, or the JSON that a schema asks for."""

    name: ObjectName
    """An Agent of this namespace, else a shared one of the operator's namespace."""
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=262144)]
    """The task; may hold expressions in dollar-brace form."""
    conversation: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Which conversation an agent with a memory goes on with; may hold expressions in dollar-brace form."""
    budget: Budget | None = None
    """What the step may cost in all its attempts, besides what the Agent says."""


class Tool(Model):
    """Calls a tool, no agent about. `with` are its arguments; gives what the tool gives."""

    name: ObjectName
    """A Tool of this namespace, else a shared one of the operator's namespace."""
    function: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Which function of an MCP server; meaningless for any other tool."""


class Approvers(Model):
    """Who may decide: any of these users, and any member of these groups."""

    users: Annotated[tuple[_Name, ...], Field(max_length=64)] = ()
    """Names of users, as the API server knows them."""
    groups: Annotated[tuple[_Name, ...], Field(max_length=64)] = ()
    """Names of groups, as the API server knows them."""

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not (self.users or self.groups):
            raise ValueError("found neither users nor groups, expected at least one who may decide")
        return self


class Approval(Model):
    """Asks people: an Approval resource is decided by one of the approvers. `with` is what they are shown."""

    approvers: Approvers
    """Who may decide."""
    form: dict[str, Any] | None = None
    """JSON Schema of what the approver fills in, an object."""
    reason_required: bool = False
    """Whether a decision needs a reason."""


class Child(Model):
    """Runs another workflow, as an Execution of its own. `with` are its inputs; gives its outputs."""

    name: ObjectName
    """Workflow of the same namespace."""
    revision: Revision | None = None
    """A revision of it, as `citadel history` lists them; without it the Workflow as it is then."""
