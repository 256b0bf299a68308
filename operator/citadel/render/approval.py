"""An Approval as the controller makes it, and its status: from the journal's state alone.

Pure. What is shown, asked and of whom is named by one digest, which a decision has to repeat.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.actions import Approval
from citadel.api.approval import (
    EXECUTION_LABEL,
    SHOWN_LIMIT,
    STEP_LABEL,
    ApprovalPhase,
    ApprovalSpec,
    ApprovalStatus,
    Deciders,
    ExecutionRef,
)
from citadel.api.conditions import Condition, merge
from citadel.api.execution import LargeValue
from citadel.api.meta import API_VERSION
from citadel.api.reasons import ConditionType, Reason
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.render.status import timestamp

_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")
#: Integers beyond this become floating-point numbers on their way through the API server.
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Question:
    """What one step of an execution asks."""

    execution: str
    uid: str
    namespace: str
    step: str
    asks: Approval
    shown: Mapping[str, Json]
    """The arguments of the step, evaluated."""
    deadline: float | None = None
    """Seconds since the epoch."""


def approval_name(execution: str, uid: str, step: str) -> str:
    """The name of the one Approval of a step: readable, and of this execution alone."""
    told = hashlib.sha256(f"{uid}/{step}".encode()).hexdigest()[:8]
    readable = f"{execution}-{_NOT_IN_NAMES.sub('-', step.lower()).strip('-')}"
    return f"{readable[: _LONGEST_NAME - len(told) - 1].rstrip('.-')}-{told}"


def label_value(text: str) -> str:
    """A name as the value of a label, which has less room: cut, and told apart by a digest where it is."""
    value = _NOT_IN_LABELS.sub("-", text).strip("-_.")
    if value == text and len(value) <= _LONGEST_LABEL:
        return value
    told = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{value[: _LONGEST_LABEL - len(told) - 1].rstrip('-_.')}-{told}".lstrip("-")


def approval(question: Question) -> dict[str, Any]:
    """The object that asks this."""
    spec = _spec(question).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "apiVersion": API_VERSION,
        "kind": "Approval",
        "metadata": {
            "name": approval_name(question.execution, question.uid, question.step),
            "namespace": question.namespace,
            "labels": {
                EXECUTION_LABEL: label_value(question.execution),
                STEP_LABEL: label_value(question.step),
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "Execution",
                    "name": question.execution,
                    "uid": question.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {**spec, **({"shown": dict(question.shown)} if _is_small(question.shown) else {})},
    }


def _spec(question: Question) -> ApprovalSpec:
    encoded = canonical(dict(question.shown))
    asks = question.asks
    return ApprovalSpec(
        execution_ref=ExecutionRef(name=question.execution, uid=question.uid),
        step=question.step,
        shown_large=None
        if _is_small(question.shown)
        else LargeValue(digest=digest(encoded), size=len(encoded)),
        form=asks.form,
        approvers=Deciders(users=asks.approvers.users, groups=asks.approvers.groups),
        reason_required=asks.reason_required,
        deadline=None if question.deadline is None else timestamp(question.deadline),
        digest=question_digest(question),
    )


def question_digest(question: Question) -> str:
    """What a decision has to repeat: it stands for all that the approver looks at."""
    asks = question.asks
    content: dict[str, Json] = {
        "execution": question.uid,
        "step": question.step,
        "shown": dict(question.shown),
        "form": asks.form,
        "approvers": {"users": list(asks.approvers.users), "groups": list(asks.approvers.groups)},
    }
    return digest(canonical(content))


def _is_small(shown: Mapping[str, Json]) -> bool:
    """Whether an object can show it as it is."""
    return len(canonical(dict(shown))) <= SHOWN_LIMIT and not _has_large_integers(dict(shown))


def _has_large_integers(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_has_large_integers, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_integers, value))
    return isinstance(value, int) and not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER


def approval_status(
    phase: ApprovalPhase,
    message: str,
    at: float,
    conditions: Iterable[Condition] = (),
    generation: int = 0,
) -> dict[str, Any]:
    """The status of an Approval; `conditions` are those it has, whose transition times are kept."""
    decided = phase in (ApprovalPhase.APPROVED, ApprovalPhase.REJECTED)
    pending = phase is ApprovalPhase.PENDING
    condition = Condition(
        type=ConditionType.DECIDED,
        status="Unknown" if pending else "True" if decided else "False",
        reason=Reason.WAITING_FOR_APPROVAL if pending else phase.value,
        message=message[:2048],
        last_transition_time=timestamp(at),
        observed_generation=generation,
    )
    status = ApprovalStatus(phase=phase, conditions=merge(conditions, (condition,)))
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
