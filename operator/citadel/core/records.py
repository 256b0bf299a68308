"""Events as they are written down: JSON objects, beside the name of their kind."""

from dataclasses import asdict, fields, is_dataclass
from typing import Any

from citadel.core.events import Event, Usage
from citadel.core.failures import Failure
from citadel.core.values import Content, Inline, Stored, decode_value, encode

_VALUES = frozenset(("inputs", "output", "outputs", "payload", "recalled", "form", "items", "arguments"))
EVENTS: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}


def to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON object, without its kind."""
    data: dict[str, Any] = {}
    for item in fields(event):
        value = getattr(event, item.name)
        if isinstance(value, Inline | Stored):
            data[item.name] = encode(value)
        elif item.name == "artifacts":
            data[item.name] = {name: asdict(content) for name, content in value.items()}
        elif is_dataclass(value) and not isinstance(value, type):
            data[item.name] = {f.name: getattr(value, f.name) for f in fields(value)}
        else:
            data[item.name] = value
    return data


def from_json(kind: str, data: dict[str, Any]) -> Event:
    """The inverse of `to_json`; raises KeyError for a kind this version does not know."""
    found = dict(data)
    for name in _VALUES & found.keys():
        if found[name] is not None:
            found[name] = decode_value(found[name])
    if "artifacts" in found:
        found["artifacts"] = {name: Content(**content) for name, content in found["artifacts"].items()}
    if found.get("failure") is not None:
        found["failure"] = Failure(**found["failure"])
    if "around" in found:
        found["around"] = tuple(found["around"])
    if found.get("usage") is not None:
        found["usage"] = Usage(**found["usage"])
    return EVENTS[kind](**found)
