"""The Execution resource: one run of a workflow."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.conditions import Condition
from citadel.api.meta import UID_PATTERN, Model, NameRef, Revision
from citadel.api.reasons import Phase

WEEK = 7 * 24 * 3600
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_Text = Annotated[str, StringConstraints(max_length=2048)]
_Word = Annotated[str, StringConstraints(max_length=63)]
#: An instance of a step, such as fix[2].write.
_StepName = Annotated[str, StringConstraints(max_length=640)]


class WorkflowRef(NameRef):
    """The Workflow to run, as it is or as it was."""

    revision: Revision | None = None
    """Digest, or its first characters, of a definition by which an execution of this Workflow ran before, as
    `citadel history` lists them. Without it the Workflow as it is when the execution starts."""


class RerunOf(NameRef):
    """The Execution to run again, of the same namespace; it has ended, and the journal still has it.

    Results are taken over with failed or from, but none that depends on a step that runs again, that was
    undone, or whose step is not defined as it was."""

    uid: Annotated[str, StringConstraints(pattern=UID_PATTERN, max_length=64)] | None = None
    """Uid of the Execution; needed when its object is gone."""
    from_step: _StepName | None = Field(alias="from", default=None, min_length=1)
    """Step, such as load or fix[2].write, that runs again with everything that depends on it."""
    failed: bool = False
    """Whether everything that succeeded is taken over."""
    definition: Literal["pinned", "current"] = "pinned"
    """By which definition: the one that it ran by, or the Workflow as it is now."""

    @model_validator(mode="after")
    def _one_point(self) -> Self:
        if self.failed and self.from_step is not None:
            raise ValueError("expected one of from and failed, found both")
        return self


class ExecutionSpec(Model):
    """Which workflow to run, on what. Immutable but for stop and suspend."""

    workflow_ref: WorkflowRef
    """Workflow of the same namespace; its definition is pinned when the execution starts."""
    rerun_of: RerunOf | None = None
    """Runs another Execution of this Workflow again, on its inputs."""
    inputs: Annotated[dict[str, Any], Field(max_length=128)] = Field(default_factory=dict)
    """Inputs by name; taken literally, never as expressions. Of a rerun, those that are to differ."""
    stop: Literal["Cancel", "Terminate"] | None = None
    """Cancel ends running steps with a grace period, Terminate at once. Can be set and raised, not unset."""
    suspend: bool = False
    """While true, nothing new starts; what runs goes on. Means nothing any more once stop is set."""
    no_cache: bool = False
    """Whether steps with a cache run whatever is known; what they give is known afterwards."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=10 * 365 * 24 * 3600)] = WEEK
    """How long this object is kept after its end, in seconds; 604800 is 7 days."""

    @model_validator(mode="after")
    def _one_definition(self) -> Self:
        if self.rerun_of is not None and self.workflow_ref.revision is not None:
            raise ValueError("expected no workflowRef.revision: rerunOf.definition says by what a rerun runs")
        return self


class Progress(Model):
    """How many steps have ended."""

    done: int = Field(ge=0)
    """Steps that have ended."""
    total: int = Field(ge=0)
    """Steps in all."""
    text: Annotated[str, StringConstraints(max_length=32)]
    """Both, for people: 3/7."""


class UsageSummary(Model):
    """What the models have taken that steps asked."""

    input_tokens: int = Field(ge=0)
    """Tokens that were sent."""
    output_tokens: int = Field(ge=0)
    """Tokens that were answered."""
    total_tokens: int = Field(ge=0)
    """Both."""
    cost: Annotated[str, StringConstraints(max_length=32)]
    """Dollars, by the prices of the Models."""
    estimated: bool = False
    """Whether calls are among it of which nobody knows what they took: they count all they could have."""


class StepSummary(Model):
    """One step that deserves a look: it runs, waits or failed."""

    name: _StepName
    """Name of the step."""
    status: _Word
    """Where it stands."""
    reason: _Word | None = None
    """Why."""
    message: Annotated[str, StringConstraints(max_length=256)] | None = None
    """Why, for people."""
    attempt: int | None = Field(default=None, ge=1)
    """Number of the current or last attempt."""
    usage: UsageSummary | None = None
    """What models have taken, if it asked any."""


class LargeValue(Model):
    """A value too large for a status, by its digest; `citadel get --outputs` shows it."""

    digest: Annotated[str, StringConstraints(max_length=80)]
    """Digest of the canonical JSON."""
    size: int = Field(ge=0)
    """Bytes of the canonical JSON."""


class Failure(Model):
    """What made the execution fail."""

    step: _StepName | None = None
    """Step that failed."""
    attempt: int | None = Field(default=None, ge=1)
    """Its last attempt."""
    reason: _Word
    """Why."""
    message: _Text
    """Why, for people."""
    log_tail: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """Last lines the attempt printed."""


class ExecutionStatus(Model):
    """How the execution stands. The journal is the truth; this is its summary."""

    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec this status was derived from."""
    phase: Phase | None = None
    """Derived summary for people; programs read the conditions."""
    reason: _Word | None = None
    """Why it is in this phase."""
    message: _Text | None = None
    """Why, for people."""
    usage: UsageSummary | None = None
    """What models have taken, if any was asked."""
    started_at: _Time | None = None
    """When the journal took the execution in."""
    finished_at: _Time | None = None
    """When it ended."""
    duration: Annotated[str, StringConstraints(max_length=32)] | None = None
    """From start to end."""
    progress: Progress | None = None
    """How many steps have ended."""
    steps: Annotated[tuple[StepSummary, ...], Field(max_length=20, json_schema_extra={"map": "name"})] = ()
    """Steps that run, wait or failed; at most 20."""
    outputs: dict[str, Any] | None = None
    """Outputs by name, when they take at most 8 kB."""
    large_outputs: LargeValue | None = None
    """Stands for the outputs when they take more."""
    failure: Failure | None = None
    """What made it fail."""
    definition: Annotated[str, StringConstraints(max_length=80)] | None = None
    """Digest of the pinned definition."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra={"map": "type"})] = ()
    """Succeeded (Unknown while running), Finished (True at any end), Reconciling until then, Stalled after a
    failure, and NetworkIsolated: what its sandboxes
    found when they tried what they must not reach."""
