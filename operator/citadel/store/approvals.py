"""What executions ask people, in rows: one for each step that waits, or has waited, for a decision.

The rows follow from the log, in the transaction that appends to it; the controller reconciles them with
Approval objects. Who decided, when and why stands in the log itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from citadel.api.approval import ApprovalPhase
from citadel.api.reasons import Reason, StepStatus
from citadel.core import events as ev
from citadel.core.advance import Outcome
from citadel.core.state import State, awaits_answer
from citadel.render.approval import approval_name
from citadel.store.texts import mend


@dataclass(frozen=True)
class ApprovalRow:
    """What one step asks, and what became of it. Times are seconds since the epoch."""

    uid: str
    step: str
    namespace: str
    name: str
    """Name of its Approval."""
    phase: str
    opened_at: float
    deadline: float | None = None
    ended_at: float | None = None
    decided_by: str | None = None
    reason: str | None = None
    object: str | None = None
    """Uid of the Approval that the controller made: no other is believed."""

    @property
    def pending(self) -> bool:
        return self.phase == ApprovalPhase.PENDING


class Approvals(Protocol):
    """The rows, for the controller. They are opened and ended inside advances, never here."""

    async def pending(self) -> list[ApprovalRow]:
        """Those that wait, oldest first."""
        ...

    async def get(self, namespace: str, name: str) -> ApprovalRow | None:
        """The row of the Approval of this name."""
        ...

    async def made(self, row: ApprovalRow, uid: str | None) -> None:
        """Records which object asks this; None: there is none that counts."""
        ...


def asked(before: State, outcome: Outcome, now: float) -> Iterator[ApprovalRow]:
    """Rows that differ after an advance of `before` at `now`; `object` stays as it is."""
    state = outcome.state
    if state.created is None or state.plan is None:
        return
    opened = {event.step for event in outcome.events if isinstance(event, ev.StepWaiting)}
    decided = {event.step: event for event in outcome.events if isinstance(event, ev.ApprovalDecided)}
    touched = opened | decided.keys()
    for event in outcome.events:
        match event:
            case ev.StepCompleted(step=step) | ev.StepFailed(step=step) | ev.HandlerOpened(step=step):
                touched.add(step)
            case ev.StepSkipped(step=step):
                touched.add(step)
            case ev.Concluded() | ev.Finished():
                touched |= before.active | opened
    if before.calls:
        touched |= before.active - state.active  # an agent that ends has its calls cut off
    for step in sorted(touched):
        if step not in opened and not _waited(before, step):
            continue
        if state.plan.step(step).spec.approval is not None:
            yield _row(state, step, decided.get(step), now)


def _waited(state: State, step: str) -> bool:
    """Whether a step waits, and nobody has answered yet."""
    found = state.steps.get(step)
    return found is not None and awaits_answer(found)


def _row(state: State, step: str, decision: ev.ApprovalDecided | None, now: float) -> ApprovalRow:
    assert state.created is not None
    found, created = state.steps[step], state.created
    phase = ApprovalPhase.CANCELLED
    if decision is not None:
        phase = ApprovalPhase.APPROVED if decision.approved else ApprovalPhase.REJECTED
    elif found.status is StepStatus.WAITING and state.finished is None:
        phase = ApprovalPhase.PENDING
    elif found.status is StepStatus.SUCCEEDED or (
        found.failure is not None and found.failure.reason == Reason.TIMEOUT
    ):
        phase = ApprovalPhase.EXPIRED
    return ApprovalRow(
        uid=created.uid,
        step=step,
        namespace=created.namespace,
        name=approval_name(created.name, created.uid, step),
        phase=phase.value,
        opened_at=found.started_at or now,
        deadline=found.until,
        ended_at=None if phase is ApprovalPhase.PENDING else now,
        decided_by=None if decision is None else mend(decision.by),
        reason=None if decision is None else mend(decision.reason),
    )
