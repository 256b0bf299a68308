"""A step of a workflow: a name, exactly one action, and modifiers."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.egress import Network
from citadel.api.meta import (
    ENV_NAME_PATTERN,
    ArgumentName,
    Duration,
    Expression,
    KeyRef,
    Model,
    ObjectName,
    Quantity,
    StepName,
)

ACTIONS = ("run", "container")
#: A module that Python or Node.js can import, and the name of a function in it.
ENTRYPOINT_PATTERN = r"^[A-Za-z0-9_@.~/][A-Za-z0-9_@.~/-]*:[A-Za-z_$][A-Za-z0-9_$]*$"
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
    "InvalidOutput",
    "ConfigMapNotFound",
    "SecretNotFound",
    "SecretForbidden",
]


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


class Backoff(Model):
    """Pause before each further attempt: initial, then times factor, up to max."""

    initial: Duration = "1s"
    """Pause before the second attempt."""
    factor: Annotated[float, Field(ge=1, le=100)] = 2
    """What each pause is multiplied with to give the next."""
    max: Duration = "5m"
    """Longest pause."""


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
    )
    """Failure reasons that are retried."""


_Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Artifacts(Model):
    """Files and trees that a step takes of other steps, and those that it leaves to them."""

    out: Annotated[dict[ArgumentName, _Path], Field(max_length=8)] = Field(default_factory=dict)
    """What is kept when an attempt succeeds: a file or directory of /work, /data or /tmp, by name."""
    taken: Annotated[dict[_Path, Annotated[str, StringConstraints(max_length=160)]], Field(max_length=8)] = (
        Field(alias="in", default_factory=dict)
    )
    """What is to stand at a path in /work or /data before the code starts: steps.<step>.artifacts.<name>."""


class Step(Model):
    """A name, exactly one action (run or container), and modifiers."""

    name: StepName
    """Name by which other steps and expressions refer to this one."""
    run: Run | None = None
    """Action: code in a language runtime."""
    container: Container | None = None
    """Action: any container image."""
    arguments: Annotated[dict[ArgumentName, Any], Field(max_length=64)] = Field(
        alias="with", default_factory=dict
    )
    """Arguments by name: JSON with expressions in dollar-brace form, or valueFrom a ConfigMap or Secret."""
    needs: Annotated[tuple[StepName, ...], Field(max_length=256)] | None = None
    """Steps to wait for; without it the step above. Steps that expressions refer to are always waited for."""
    join: Literal["all", "any", "finished"] = "all"
    """What to wait for. all: each step succeeded or was skipped; any: one succeeded; finished: each ended."""
    when: Expression | None = None
    """CEL condition; when it is false the step is skipped."""
    retry: Retry | None = None
    """When a failed attempt is followed by another; without it never."""
    timeout: Duration | None = None
    """Longest time of one attempt; its whole process tree is ended then."""
    isolation: Literal["session", "step"] = "session"
    """session: the sandbox may serve further steps of this execution; step: it serves this attempt alone."""
    files: Annotated[dict[_Path, Any], Field(max_length=32)] = Field(default_factory=dict)
    """Files by path in /work: text with expressions in dollar-brace form, or valueFrom a ConfigMap or
    Secret."""
    artifacts: Artifacts | None = None
    """Files and trees of other steps, and those for other steps."""
    network: Network | None = None
    """What the step reaches beyond its sandbox, besides what its Runtime names."""

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        found = [action for action in ACTIONS if getattr(self, action) is not None]
        if len(found) != 1:
            raise ValueError(
                f"found {' and '.join(found) or 'no action'}, expected exactly one of {', '.join(ACTIONS)}"
            )
        return self
