"""What follows from the row of a sandbox and its pod. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.reasons import Reason
from citadel.controller.objects import parse_time
from citadel.controller.pods import Diagnosis, diagnose
from citadel.store.sandboxes import SandboxRow

#: Seconds that a sandbox has to prove its isolation, where that is required.
PROOF_SECONDS = 60.0
_HEALTHY = Diagnosis()


@dataclass(frozen=True)
class Action:
    """What to do about one sandbox: create, adopt, delete, end, wait, run, forget, or nothing."""

    verb: str
    diagnosis: Diagnosis = _HEALTHY
    again: float | None = None
    """Seconds after which to look again, though nothing may have happened."""


def decide_sandbox(
    row: SandboxRow | None, pod: Mapping[str, Any] | None, now: float, patience: float
) -> Action:
    """What follows from a row and its pod."""
    if row is None or row.status == "gone":
        return Action("delete" if pod is not None and not _deleting(pod) else "nothing")
    if row.status == "draining":
        if pod is None:
            return Action("forget")
        return Action("nothing" if _deleting(pod) else "delete")
    if pod is None:
        if row.pod_uid is None:
            return Action("create")
        return Action("end", Diagnosis(ended=Reason.SANDBOX_LOST, message=f"pod {row.name} is gone"))
    if row.pod_uid is None:
        # Created, but whoever did it could not record that any more; until then nobody lets it register.
        return Action("adopt")
    diagnosis = diagnose(pod, now - born(pod), patience)
    if diagnosis.ended is not None:
        return Action("end", diagnosis)
    if diagnosis.waiting is not None:
        return Action("wait", diagnosis, again=5.0)
    return Action("run" if row.status == "live" else "wait", diagnosis)


def decide_unproven(row: SandboxRow, required: bool, age: float) -> Action:
    """What follows for a sandbox of this age whose isolation is not proven."""
    if not required:
        return Action("run")
    if row.isolated is False:
        message = f"isolation is required, but {(row.answered or '').replace(',', ', ')} answered its probe"
        return Action("end", Diagnosis(ended=Reason.NOT_ISOLATED, message=message))
    message = "isolation is required, and this sandbox has not proven it"
    if age > PROOF_SECONDS:
        message = f"{message} within {PROOF_SECONDS:.0f} s"
        return Action("end", Diagnosis(ended=Reason.NOT_ISOLATED, message=message))
    return Action("wait", Diagnosis(waiting=Reason.NOT_ISOLATED, message=message), again=5.0)


def born(pod: Mapping[str, Any]) -> float:
    """When a pod was created."""
    return parse_time(pod["metadata"]["creationTimestamp"])


def _deleting(pod: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]
