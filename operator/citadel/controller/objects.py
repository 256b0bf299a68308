"""Reading what objects say of themselves, which may be anything. Pure."""

from datetime import datetime

from citadel.api.conditions import Condition
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
