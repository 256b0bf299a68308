"""The functions of an MCP server as Citadel pins them: what it says of each, and digests of that. Pure.

Whatever a server says is shown to models: where one word of it differs from what somebody looked at, it is
another function.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from citadel.core.jsonvalues import InvalidValue, Json, canonical, check, digest

#: Functions of one server, bytes of all they say, and characters of what one says of itself.
MOST_FUNCTIONS, MOST_BYTES, MOST_DESCRIPTION = 256, 256 * 1024, 4096
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_EXACT, _INT64 = 2**53, 2**63


class InvalidListing(ValueError):
    """A server says nothing that can be used; the message says what is wrong."""


def functions_of(listed: Sequence[Json]) -> dict[str, dict[str, Any]]:
    """`name: {description, parameters}` from what a server lists; raises InvalidListing."""
    if len(listed) > MOST_FUNCTIONS:
        raise InvalidListing(f"found {len(listed)} functions, expected at most {MOST_FUNCTIONS}")
    found: dict[str, dict[str, Any]] = {}
    for item in listed:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidListing(f"found the name {str(name)[:100]!r}, expected letters, digits and _ . / -")
        if name in found:
            raise InvalidListing(f"found two functions named {name}")
        parameters = item.get("inputSchema")
        if not isinstance(parameters, dict):
            raise InvalidListing(f"function {name}: found no inputSchema, expected a JSON Schema")
        description = item.get("description")
        told = description if isinstance(description, str) else ""
        found[name] = {"description": told[:MOST_DESCRIPTION], "parameters": _arguments(parameters)}
    try:
        check(found, MOST_BYTES)
    except InvalidValue as error:
        raise InvalidListing(f"its functions: {error}") from None
    return found


def _arguments(schema: Mapping[str, Json]) -> dict[str, Json]:
    """A schema as it comes back from the status of an object, through patches and Kubernetes' own numbers: so
    that its digest is the same there."""
    kept: Any = _kept({key: value for key, value in schema.items() if key != "$schema"})
    return {"type": "object", **kept}


def _kept(value: Json) -> Json:
    match value:
        case dict():
            return {key: _kept(item) for key, item in value.items() if item is not None}
        case list():
            return [_kept(item) for item in value]
        case float() if value.is_integer() and abs(value) < _EXACT:
            return int(value)
        case int() if not isinstance(value, bool) and abs(value) >= _INT64:
            return float(value)
    return value


def digest_of(functions: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest of all functions of a server: what a Tool pins."""
    return digest(canonical({name: function_digest(name, said) for name, said in functions.items()}))


def function_digest(name: str, said: Mapping[str, Any]) -> str:
    """The digest of one function: what a call is checked by."""
    return digest(canonical([name, said["description"], said["parameters"]]))
