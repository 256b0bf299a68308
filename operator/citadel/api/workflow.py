"""The Workflow resource: inputs, steps and outputs."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from citadel.api.budget import Budget
from citadel.api.conditions import Condition
from citadel.api.meta import ArgumentName, Duration, HistoryLimit, Model
from citadel.api.step import Compensate, Step, walk

MAX_STEPS = 2000


class Isolation(Model):
    """What must be proven of a sandbox before it gets work."""

    required: bool = False
    """Whether a sandbox gets work only after its own probe has found that nothing forbidden answers."""


class Concurrency(Model):
    """How many executions of a group may run at a time, and what becomes of those beyond that."""

    group: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Name of the group, with expressions over inputs and execution in dollar-brace form; the Workflow's own
    name if left out. All executions of a namespace with the same group belong together, whatever they run."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many executions of the group may run when one of this Workflow begins, that one included."""
    policy: Literal["queue", "cancelRunning", "reject"] = "queue"
    """What happens where there is no room: queue waits for its turn, first come, first served; cancelRunning
    cancels the older ones and begins when they have ended; reject fails at once."""


class WorkflowSpec(Model):
    """What an Execution of this workflow takes, does and gives."""

    inputs: dict[str, Any] | None = None
    """JSON Schema (2020-12) of the inputs, an object. Defaults are filled in, undeclared inputs refused."""
    steps: Annotated[
        tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS, json_schema_extra={"map": "name"})
    ]
    """Steps; each waits for the one above it unless it says otherwise by needs."""
    finally_steps: Annotated[
        tuple[Step, ...], Field(alias="finally", max_length=64, json_schema_extra={"map": "name"})
    ] = ()
    """Steps that run at the end however it comes, all of them, with execution.phase and execution.error in
    scope; only Terminate leaves them out."""
    outputs: Annotated[dict[ArgumentName, Any], Field(max_length=64)] = Field(default_factory=dict)
    """Outputs by name: JSON with expressions in dollar-brace form, computed when all steps have succeeded."""
    budget: Budget | None = None
    """What the models may cost that one execution asks; a call that could go beyond is refused."""
    parallelism: Annotated[int, Field(ge=1, le=64)] = 4
    """How many sandboxes one execution may use at a time; what its agents call may use as many again, at each
    depth of agents within each other."""
    timeout: Duration | None = None
    """Longest time of one execution, from its turn on where it has to wait for one; it ends TimedOut then."""
    pending_timeout: Duration | None = None
    """Longest time until one begins: until it has its turn, and a first step its sandbox. It ends TimedOut
    then."""
    concurrency: Concurrency | None = None
    """How many executions may run at a time; without it as many as there is room for."""
    isolation: Isolation = Isolation()
    """What must be proven of a sandbox before it gets work."""
    successful_executions_history_limit: HistoryLimit | None = None
    """How many of its executions that succeeded are kept as objects; without it their time decides alone."""
    failed_executions_history_limit: HistoryLimit | None = None
    """How many of its executions that ended otherwise are kept as objects."""

    def every_step(self) -> Iterator[tuple[str, Step | Compensate]]:
        """Everything that acts, at any depth, with its definition path."""
        return walk((*self.steps, *self.finally_steps))


class DefinitionStatus(Model):
    """Whether a definition can be used."""

    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec this status was derived from."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra={"map": "type"})] = ()
    """Ready, and Stalled where only an edit can help."""
