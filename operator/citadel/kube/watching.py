"""The watch protocol on the wire: newline-delimited JSON events, of any size, in chunks of any size.

Must never swallow an ERROR event: it becomes the exception it stands for.
"""

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from citadel.kube.errors import Unavailable, error_from
from citadel.kube.resources import Object

_LONGEST = 16 * 1024 * 1024  # bytes; etcd refuses objects above 1.5 MiB


class WatchEvent(NamedTuple):
    """One event: `type` is ADDED, MODIFIED, DELETED or BOOKMARK (whose object is only a resourceVersion)."""

    type: str
    object: Object

    @property
    def resource_version(self) -> str:
        """The version to watch on from after this event."""
        return str((self.object.get("metadata") or {}).get("resourceVersion", ""))


async def decode_watch(chunks: AsyncIterator[bytes], request: str) -> AsyncIterator[WatchEvent]:
    """The events in a stream of bytes; a last line without its end is a cut connection, and is dropped.

    Raises the ApiError that an ERROR event stands for (Gone for an expired resourceVersion).
    """
    buffer = bytearray()
    async for chunk in chunks:
        seen = len(buffer)
        buffer += chunk
        start = 0
        end = buffer.find(b"\n", seen)
        while end >= 0:
            if end > start:
                yield _event(bytes(buffer[start:end]), request)
            start = end + 1
            end = buffer.find(b"\n", start)
        del buffer[:start]
        if len(buffer) > _LONGEST:
            raise Unavailable(200, "InvalidAnswer", f"a watch event above {_LONGEST} bytes", request=request)


def _event(line: bytes, request: str) -> WatchEvent:
    try:
        found = json.loads(line)
        event = WatchEvent(found["type"], found["object"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(200, "InvalidAnswer", "a watch event that is not JSON", request=request) from error
    if event.type == "ERROR":
        code = event.object.get("code")
        raise error_from(code if isinstance(code, int) else 500, event.object, request=request)
    return event
