"""The Execution of a step that runs another workflow, as an object: what it says, what it is told. Pure."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from citadel.api.execution import ExecutionSpec, WorkflowRef
from citadel.api.meta import (
    API_VERSION,
    PARENT_ATTEMPT_ANNOTATION,
    PARENT_LABEL,
    PARENT_STEP_ANNOTATION,
    SUSPENDED_BY_PARENT_ANNOTATION,
)
from citadel.api.reasons import Reason
from citadel.core.children import Child, child_of
from citadel.core.jsonvalues import Json
from citadel.core.state import State

#: What anybody may change of an Execution.
_CHANGING = frozenset(("stop", "suspend", "ttl_seconds_after_finished"))
_AT_ONCE = frozenset((Reason.TERMINATED, Reason.DELETED))
_EXACT = 2**63
_MOST_DIGITS = 9


class Origin(NamedTuple):
    """For which step of which execution an object says that it is."""

    uid: str
    step: str
    attempt: int


def execution_for(child: Child, parent: Mapping[str, Any], inputs: Mapping[str, Json]) -> dict[str, Any]:
    """The object; it belongs to the Execution `parent`, and goes with it."""
    metadata = parent["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": "Execution", "name": metadata["name"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "Execution",
        "metadata": {
            "name": child.name,
            "namespace": metadata["namespace"],
            "labels": {PARENT_LABEL: metadata["uid"]},
            "annotations": {
                PARENT_STEP_ANNOTATION: child.step,
                PARENT_ATTEMPT_ANNOTATION: str(child.attempt),
            },
            "ownerReferences": [{**owner, "uid": metadata["uid"], "controller": True}],
        },
        "spec": {
            "workflowRef": child.reference,
            "inputs": dict(inputs),
            **({"noCache": True} if child.no_cache else {}),
        },
    }


def origin_of(obj: Mapping[str, Any]) -> Origin | None:
    """For which step an Execution says that it is; None for one that nobody's step wanted."""
    metadata = obj["metadata"]
    uid = (metadata.get("labels") or {}).get(PARENT_LABEL)
    annotations = metadata.get("annotations") or {}
    attempt = str(annotations.get(PARENT_ATTEMPT_ANNOTATION))
    # Whoever writes Executions may write this, too: Python converts no number of thousands of digits.
    if not uid or not attempt.isdecimal() or len(attempt) > _MOST_DIGITS:
        return None
    return Origin(uid, str(annotations.get(PARENT_STEP_ANNOTATION)), int(attempt))


def is_of(obj: Mapping[str, Any], uid: str, child: Child) -> bool:
    """Whether an object says that it is what this execution wants."""
    return origin_of(obj) == Origin(uid, child.step, child.attempt) and obj["metadata"]["name"] == child.name


def is_as_wanted(obj: Mapping[str, Any], child: Child, inputs: Mapping[str, Json]) -> bool:
    """Whether an object asks for just what the step does: others can write labels, too."""
    reference = WorkflowRef.model_validate(child.reference)
    wanted = ExecutionSpec(workflow_ref=reference, inputs=dict(inputs), no_cache=child.no_cache)
    try:
        # By the model: the API server fills in defaults.
        found = ExecutionSpec.model_validate(obj["spec"])
    except ValidationError:
        return False
    others = {*_CHANGING, "inputs"}
    if found.model_dump(exclude=others) != wanted.model_dump(exclude=others):
        return False
    return bool(_as_kept(found.inputs) == _as_kept(wanted.inputs))


def _as_kept(value: Json) -> Any:
    """JSON as it comes back from the API server, which has no larger integers than 64 bits."""

    def number(text: str) -> int | float:
        found = int(text)
        return found if -_EXACT <= found < _EXACT else float(found)

    return json.loads(json.dumps(value), parse_int=number)


def passed_down(obj: Mapping[str, Any], parent: State) -> dict[str, Any] | None:
    """What an execution has to be told because of the one that it is for, as a patch; None for nothing."""
    origin, spec = origin_of(obj), obj["spec"]
    assert origin is not None
    child = child_of(parent, origin.step) if parent.finished is None and parent.plan is not None else None
    if child is None or child.attempt != origin.attempt or parent.stopping:
        reason = parent.finished.reason if parent.finished is not None else None
        mode = "Terminate" if reason in _AT_ONCE else "Cancel"
        if spec.get("stop") in (mode, "Terminate"):
            return None
        return {"spec": {"stop": mode}}
    ours = SUSPENDED_BY_PARENT_ANNOTATION in (obj["metadata"].get("annotations") or {})
    if parent.suspended and not spec.get("suspend"):
        annotations = {SUSPENDED_BY_PARENT_ANNOTATION: "true"}
        return {"metadata": {"annotations": annotations}, "spec": {"suspend": True}}
    if ours and not parent.suspended:
        # What somebody has suspended by itself stays so.
        return {
            "metadata": {"annotations": {SUSPENDED_BY_PARENT_ANNOTATION: None}},
            "spec": {"suspend": False},
        }
    return None
