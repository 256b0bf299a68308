"""A signal as a request brings it: a name, a key, and any JSON."""

import re
from typing import Any

from aiohttp import web

from citadel.core.jsonvalues import MAX_BYTES, InvalidValue, canonical, kind_of, normalise
from citadel.store.signals import SignalRow

NAME_PATTERN = r"[A-Za-z][A-Za-z0-9_.-]{0,62}"
_LONGEST_KEY = 253
#: Bytes of a request: those of the payload, and of what stands around it.
MAX_REQUEST = MAX_BYTES + 4096
_FIELDS = ("name", "key", "payload")


async def read_signal(request: web.Request, uid: str) -> SignalRow:
    """The signal in a request's body; raises an answer that says which field is wrong, and how."""
    try:
        body = normalise(await request.read(), MAX_REQUEST)
    except InvalidValue as error:
        raise web.HTTPBadRequest(text=f"the signal: {error}") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text=f"found a JSON {kind_of(body)}, expected an object with name and key")
    for field in body:
        if field not in _FIELDS:
            raise web.HTTPBadRequest(text=f"{field:.80}: unknown field, expected {', '.join(_FIELDS)}")
    payload = body.get("payload")
    if (size := len(canonical(payload))) > MAX_BYTES:
        raise web.HTTPBadRequest(text=f"payload: found {size} bytes of JSON, expected at most {MAX_BYTES}")
    return SignalRow(uid, _name(body.get("name")), _key(body.get("key")), payload)


def _name(name: Any) -> str:
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        expected = "a letter, then at most 62 letters, digits, dots, - or _"
        raise web.HTTPBadRequest(text=f"name: {_found(name)}, expected {expected}")
    return name


def _key(key: Any) -> str:
    if not isinstance(key, str) or not key or len(key) > _LONGEST_KEY or not key.isprintable():
        expected = f"1 to {_LONGEST_KEY} printable characters, the same for the same signal sent again"
        raise web.HTTPBadRequest(text=f"key: {_found(key)}, expected {expected}")
    return key


def _found(value: Any) -> str:
    return "found nothing" if value is None else f"found {value!r:.80}"
