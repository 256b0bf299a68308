"""Reading what objects say of themselves, which may be anything. Pure."""

from datetime import UTC, datetime
from typing import Any

from citadel.api.conditions import Condition
from citadel.api.reasons import Phase, Reason
from citadel.controller.checking import Unusable
from citadel.core.history import Run
from citadel.kube.resources import Object


def status_of(obj: Object) -> Object:
    """An object's status; empty where there is none, or where it is not one."""
    found = obj.get("status")
    return found if isinstance(found, dict) else {}


def read_conditions(obj: Object) -> tuple[Condition, ...]:
    """Conditions as an object has them; what does not parse is left out, and so written anew."""
    items = status_of(obj).get("conditions")
    found = []
    for item in items if isinstance(items, list) else ():
        try:
            found.append(Condition.model_validate(item))
        except ValueError:
            continue
    return tuple(found)


def not_ready(obj: Object, kind: str) -> Unusable | None:
    """Why an object is not ready, as its status says; None where it is, or where that is of another spec."""
    metadata = obj["metadata"]
    conditions = status_of(obj).get("conditions")
    for item in conditions if isinstance(conditions, list) else ():
        if not isinstance(item, dict) or (item.get("type"), item.get("status")) != ("Ready", "False"):
            continue
        if item.get("observedGeneration") == metadata.get("generation", 0):
            try:
                reason = Reason(str(item.get("reason")))
            except ValueError:
                reason = Reason.INVALID_SPEC
            message = f"{kind} {metadata['name']} is not ready: {item.get('message') or reason}"
            return Unusable(reason, message[:1024], waits=True)
    return None


def is_finished(obj: Object) -> bool:
    """Whether the status says that nothing more will happen."""
    # The sweep asks this of every object: none of them may stop it, whatever its status holds.
    items = status_of(obj).get("conditions")
    return any(
        isinstance(item, dict) and (item.get("type"), item.get("status")) == ("Finished", "True")
        for item in (items if isinstance(items, list) else ())
    )


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def read_time(value: Any) -> datetime | None:
    """An RFC 3339 time; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def run_of(execution: Object) -> Run:
    """An Execution as schedules and limits see it."""
    metadata, status, spec = execution["metadata"], status_of(execution), execution.get("spec")
    ended = is_finished(execution)
    return Run(
        metadata["name"],
        metadata["uid"],
        read_time(metadata.get("creationTimestamp")) or datetime.fromtimestamp(0, UTC),
        str(status.get("phase") or Phase.FAILED) if ended else "",
        read_time(status.get("finishedAt")) if ended else None,
        isinstance(spec, dict) and bool(spec.get("stop")),
    )
