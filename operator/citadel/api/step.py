"""A step of a workflow: a name, exactly one action, and modifiers."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.actions import Agent, Approval, Child, Container, Llm, Run, Switch, Tool, Wait
from citadel.api.egress import Network
from citadel.api.meta import ArgumentName, Duration, Expression, Model, StepName
from citadel.api.modifiers import Artifacts, Cache, ForEach, Repeat, Retry

ACTIONS = ("run", "container", "steps", "switch", "wait", "approval", "workflow", "llm", "agent", "tool")
_FIRST_OF_ALL = ("agent", "tool", *ACTIONS)
#: Names below a step that are not its inner steps.
RESERVED_NAMES = frozenset({"compensate", "onError"})
MAX_INNER_STEPS = 100
_IN_SANDBOX = frozenset({"isolation", "files", "artifacts", "network", "cache"})
#: Modifiers that mean nothing for an action, and what to say instead.
_MEANINGLESS = MappingProxyType(
    {
        "steps": _IN_SANDBOX | {"arguments", "retry", "timeout", "compensate"},
        "switch": _IN_SANDBOX | {"arguments", "retry", "timeout", "compensate"},
        "wait": _IN_SANDBOX | {"arguments", "retry", "compensate"},
        "approval": _IN_SANDBOX | {"retry", "compensate"},
        "workflow": _IN_SANDBOX,
        "llm": (_IN_SANDBOX - {"cache"}) | {"arguments", "compensate"},
        "agent": _IN_SANDBOX - {"cache"},
        "tool": _IN_SANDBOX - {"cache"},
    }
)
_REMEDIES = MappingProxyType({("llm", "arguments"): "name what it is to read in llm.prompt"})
_Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class OnError(Model):
    """What to do when the step has failed for good; the step counts as succeeded then."""

    steps: Annotated[tuple["Step", ...], Field(max_length=MAX_INNER_STEPS)] = ()
    """Steps to run, with error in scope."""
    output: Any = None
    """Output of the step in place of its own; may hold expressions in dollar-brace form."""


class Compensate(Model):
    """What undoes a completed step when the execution fails, ends too late, or is cancelled."""

    run: Run | None = None
    """Action: code in a language runtime."""
    container: Container | None = None
    """Action: any container image."""
    workflow: Child | None = None
    """Action: another workflow."""
    arguments: Annotated[dict[ArgumentName, Any], Field(max_length=64)] = Field(
        alias="with", default_factory=dict
    )
    """Arguments by name; output is that of the step."""
    retry: Retry = Retry()
    """When a failed attempt is followed by another."""
    timeout: Duration | None = None
    """Longest time of one attempt."""
    network: Network | None = None
    """What it reaches beyond its sandbox, besides what its Runtime names."""

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        _exactly_one(self, ("run", "container", "workflow"))
        return self


#: What other workflow languages call things, and what they are here.
_INSTEAD = MappingProxyType(
    {
        "parallel": "needs, by which steps run side by side",
        **dict.fromkeys(("depends", "dependsOn", "dependencies", "runAfter"), "needs"),
        **dict.fromkeys(("if", "condition"), "when"),
        **dict.fromkeys(("loop", "withItems", "withParam", "matrix"), "forEach: {items: …}"),
        **dict.fromkeys(("while", "until"), "repeat: {until: …}"),
        **dict.fromkeys(("template", "templateRef", "uses", "call"), "workflow: {name: …}"),
        **dict.fromkeys(("sleep", "delay", "pause"), "wait: {for: …}"),
        **dict.fromkeys(("catch", "onFailure"), "onError"),
        **dict.fromkeys(("retries", "retryStrategy", "retryPolicy"), "retry: {attempts: …}"),
        **dict.fromkeys(("args", "arguments", "parameters", "params"), "with"),
        "rollback": "compensate",
        "script": "run: {runtime: …, code: …}",
    }
)


class Step(Model):
    """A name, exactly one action, and modifiers."""

    INSTEAD: ClassVar[Mapping[str, str]] = _INSTEAD

    name: StepName
    """Name by which other steps and expressions refer to this one."""
    run: Run | None = None
    """Action: code in a language runtime."""
    container: Container | None = None
    """Action: any container image."""
    steps: Annotated[tuple["Step", ...], Field(min_length=1, max_length=MAX_INNER_STEPS)] | None = None
    """Action: a group of steps. They see the names outside; outside sees only output of the group."""
    switch: Switch | None = None
    """Action: choose a value."""
    wait: Wait | None = None
    """Action: wait for a time or a signal."""
    approval: Approval | None = None
    """Action: ask people."""
    workflow: Child | None = None
    """Action: run another workflow."""
    llm: Llm | None = None
    """Action: ask a language model."""
    agent: Agent | None = None
    """Action: have an agent work on a task."""
    tool: Tool | None = None
    """Action: call a tool."""
    output: Any = None
    """Output of a group of steps, which it must name; may hold expressions in dollar-brace form."""
    arguments: Annotated[dict[ArgumentName, Any], Field(max_length=64)] = Field(
        alias="with", default_factory=dict
    )
    """Arguments by name: JSON with expressions in dollar-brace form, or valueFrom a ConfigMap or Secret."""
    needs: Annotated[tuple[StepName, ...], Field(max_length=256)] | None = None
    """Steps to wait for; without it the step above. Steps that expressions refer to are always waited for."""
    join: Literal["all", "any", "finished"] = "all"
    """What to wait for. all: each step succeeded or was skipped; any: one succeeded; finished: each ended."""
    when: Expression | None = None
    """CEL condition; when it is false the step is skipped. One that names item or index is asked per item."""
    for_each: ForEach | None = None
    """Runs the step once for each item of a list or map."""
    repeat: Repeat | None = None
    """Runs the step again until a condition holds."""
    retry: Retry | None = None
    """When a failed attempt is followed by another; without it never."""
    timeout: Duration | None = None
    """Longest time of one attempt, or of waiting; its whole process tree is ended then."""
    on_timeout: Literal["fail", "approve"] = "fail"
    """What becomes of an approval that nobody has decided in time."""
    on_error: OnError | None = None
    """What to do when the step has failed for good; without it the execution fails."""
    compensate: Compensate | None = None
    """What undoes the step, once it has completed, when the execution does not succeed."""
    cache: Cache | None = None
    """Whether an earlier output will do; implies isolation: step."""
    isolation: Literal["session", "step"] = "session"
    """session: the sandbox may serve further steps of this execution; step: it serves this attempt alone."""
    files: Annotated[dict[_Path, Any], Field(max_length=32)] = Field(default_factory=dict)
    """Files by path in /work: text with expressions in dollar-brace form, or valueFrom a ConfigMap or
    Secret."""
    artifacts: Artifacts | None = None
    """Files and trees of other steps, and those for other steps."""
    network: Network | None = None
    """What the step reaches beyond its sandbox, besides what its Runtime names."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the output, of each turn if the step is repeated, checked when it ends."""

    @property
    def action(self) -> str:
        """Which of ACTIONS it is. What an agent or a tool turns out to be may stand beside them."""
        return next(name for name in _FIRST_OF_ALL if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _exactly_one(self, ACTIONS)
        action = self.action
        for field in sorted(_MEANINGLESS.get(action, frozenset())):
            info = type(self).model_fields[field]
            if getattr(self, field) == info.get_default(call_default_factory=True):
                continue
            name = info.alias or field
            where = _REMEDIES.get((action, field)) or (
                "put it on its inner steps" if action == "steps" else "leave it out"
            )
            raise ValueError(f"found {name}, which means nothing for {action}; {where}")
        if self.name in RESERVED_NAMES:
            raise ValueError(f"found the name {self.name!r}, which is reserved, expected another")
        if (self.steps is not None) != (self.output is not None):
            found = "no output" if self.steps is not None else f"output beside {action}"
            raise ValueError(f"found {found}, expected output with steps, and only there")
        if self.for_each is not None and self.repeat is not None:
            raise ValueError("found forEach and repeat, expected one; put the other on an inner step")
        if self.on_timeout == "approve" and (self.approval is None or self.timeout is None):
            raise ValueError("found onTimeout: approve, expected it only with approval and timeout")
        if self.wait is not None and self.timeout is not None and self.wait.signal is None:
            raise ValueError("found timeout, which means nothing for a wait that ends by itself")
        return self


def _exactly_one(model: Model, actions: tuple[str, ...]) -> None:
    found = [action for action in actions if getattr(model, action) is not None]
    if len(found) != 1:
        raise ValueError(
            f"found {' and '.join(found) or 'no action'}, expected exactly one of {', '.join(actions)}"
        )


def walk(steps: Iterable[Step], prefix: str = "") -> Iterator[tuple[str, Step | Compensate]]:
    """Everything that acts, with its definition path: steps, inner ones, handlers' and compensations."""
    for step in steps:
        path = f"{prefix}{step.name}"
        yield path, step
        yield from walk(step.steps or (), f"{path}.")
        if step.on_error is not None:
            yield from walk(step.on_error.steps, f"{path}.onError.")
        if step.compensate is not None:
            yield f"{path}.compensate", step.compensate


OnError.model_rebuild()
Step.model_rebuild()
