"""Amazon Bedrock's Converse, whose streams are Amazon's frames of events."""

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from .replies import Reply, halves, pieces


def _usage(reply: Reply) -> dict[str, int]:
    sent, answered, cached = reply.usage or (0, 0, 0)
    counted = {"inputTokens": sent - cached, "outputTokens": answered, "totalTokens": sent + answered}
    return {**counted, "cacheReadInputTokens": cached}


def _end(reply: Reply) -> str:
    return reply.end or ("tool_use" if reply.calls else "end_turn")


def whole(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """An answer at once."""
    content: list[dict[str, Any]] = [{"text": reply.text}] if reply.text else []
    content += [
        {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}}
        for id_, name, arguments in reply.calls
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _end(reply),
        "metrics": {"latencyMs": 1},
        **({} if reply.usage is None else {"usage": _usage(reply)}),
    }


def events(body: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    """An answer as a stream of frames."""
    yield frame("messageStart", {"role": "assistant"})
    index = 0
    if reply.text:
        for piece in pieces(reply.text):
            yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
        index = 1
    for number, (id_, name, arguments) in enumerate(reply.calls, index):
        begin = {"toolUse": {"toolUseId": id_, "name": name}}
        yield frame("contentBlockStart", {"contentBlockIndex": number, "start": begin})
        for part in halves(arguments if isinstance(arguments, str) else json.dumps(arguments)):
            delta = {"toolUse": {"input": part}}
            yield frame("contentBlockDelta", {"contentBlockIndex": number, "delta": delta})
        yield frame("contentBlockStop", {"contentBlockIndex": number})
    if reply.error is not None:
        yield frame("modelStreamErrorException", {"message": reply.error}, "exception")
        return
    yield frame("messageStop", {"stopReason": _end(reply)})
    if reply.usage is not None:
        yield frame("metadata", {"usage": _usage(reply), "metrics": {"latencyMs": 1}})


def frame(name: str, value: dict[str, Any], kind: str = "event") -> bytes:
    """One event: lengths and their checksum, headers, JSON, and the checksum of all."""
    told = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    headers = b"".join(
        struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(text)) + text.encode()
        for key, text in told.items()
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack("!II", 12 + len(headers) + len(payload) + 4, len(headers))
    begun = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return begun + struct.pack("!I", zlib.crc32(begun))
