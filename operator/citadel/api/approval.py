"""The Approval resource: what an execution asks people, and what one of them answered.

Only the controller makes Approvals; people write `spec.decision`, once. Who may, the API server holds: CEL
rules of the definition where they look at the object alone, an admission policy where they look at the user.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from citadel.api.conditions import Condition
from citadel.api.execution import LargeValue
from citadel.api.meta import GROUP, Model, ObjectName

#: Bytes of JSON up to which an Approval shows what its step hands it.
SHOWN_LIMIT = 32 * 1024
#: On Approvals, to find those of an execution or step; the spec has the whole names.
EXECUTION_LABEL = f"{GROUP}/execution"
STEP_LABEL = f"{GROUP}/step"

_UserName = Annotated[str, StringConstraints(min_length=1, max_length=253)]
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
_Digest = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class ApprovalPhase(StrEnum):
    """Where an Approval stands, for people."""

    PENDING = "Pending"
    APPROVED = "Approved"
    REJECTED = "Rejected"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"


class ExecutionRef(Model):
    """The execution that asks."""

    name: ObjectName
    """Name of the Execution, of the same namespace."""
    uid: Annotated[str, StringConstraints(max_length=63)]
    """Its uid."""


class Deciders(Model):
    """Who may decide: any of these."""

    users: Annotated[tuple[_UserName, ...], Field(max_length=64)] = ()
    """Names of users, as the API server knows them."""
    groups: Annotated[tuple[_UserName, ...], Field(max_length=64)] = ()
    """Names of groups, as the API server knows them."""


class ApprovalDecision(Model):
    """What an approver answered."""

    by: _UserName
    """Name of the user who decides: it must be the one who writes this."""
    approve: bool
    """True lets the step go on, false makes it fail."""
    reason: Annotated[str, StringConstraints(max_length=1024)] = ""
    """Why; must be given where reasonRequired says so."""
    form: Annotated[dict[str, Any], Field(max_length=128)] | None = None
    """What the approver filled in, for a form."""
    digest: _Digest
    """The digest of the Approval that is decided: that this, and nothing else, was looked at."""


class ApprovalSpec(Model):
    """What is asked, of whom, and the answer. Immutable but for the decision, which is set once."""

    execution_ref: ExecutionRef
    """Execution that asks."""
    step: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Step that waits, with the indexes of the loops around it."""
    shown: Annotated[dict[str, Any], Field(max_length=128)] | None = None
    """What the step hands the approver: its arguments, evaluated."""
    shown_large: LargeValue | None = None
    """Stands for it when it takes more than 32 kB."""
    form: dict[str, Any] | None = None
    """JSON Schema of what the approver fills in."""
    approvers: Deciders
    """Who may decide."""
    reason_required: bool = False
    """Whether a decision needs a reason."""
    deadline: _Time | None = None
    """When it is too late to decide."""
    digest: _Digest
    """Digest of execution, step, what is shown, form and approvers; a decision repeats it."""
    decision: ApprovalDecision | None = None
    """The answer, by one of the approvers."""


class ApprovalStatus(Model):
    """What became of it."""

    phase: ApprovalPhase | None = None
    """Pending, or how it ended: by a decision, by its deadline, or with its execution."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra={"map": "type"})] = ()
    """Decided: True once it was approved or rejected, False when it ended without a decision."""
