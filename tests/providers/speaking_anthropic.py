"""Anthropic's messages."""

import json
from collections.abc import Iterator
from typing import Any

from .replies import Reply, halves, pieces

PATH = "/v1/messages"


def _usage(reply: Reply) -> dict[str, int]:
    """As the protocol counts: what was cached is not among what was sent."""
    sent, answered, cached = reply.usage or (0, 0, 0)
    return {"input_tokens": sent - cached, "output_tokens": answered, "cache_read_input_tokens": cached}


def _end(reply: Reply) -> str:
    return reply.end or ("tool_use" if reply.calls else "end_turn")


def whole(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """An answer at once."""
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [
        {"type": "tool_use", "id": id_, "name": name, "input": arguments}
        for id_, name, arguments in reply.calls
    ]
    return {**_message(body), "content": content, "stop_reason": _end(reply), "usage": _usage(reply)}


def _message(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def events(body: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    """An answer as a stream: what was sent is counted at its beginning, what was answered at its end."""
    usage = _usage(reply)
    yield _event("message_start", {"message": {**_message(body), "usage": {**usage, "output_tokens": 1}}})
    yield _event("ping", {})
    index = 0
    if reply.text:
        yield _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
        for piece in pieces(reply.text):
            yield _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": piece}})
        yield _event("content_block_stop", {"index": 0})
        index = 1
    for number, (id_, name, arguments) in enumerate(reply.calls, index):
        block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        yield _event("content_block_start", {"index": number, "content_block": block})
        for part in halves(arguments if isinstance(arguments, str) else json.dumps(arguments)):
            delta = {"type": "input_json_delta", "partial_json": part}
            yield _event("content_block_delta", {"index": number, "delta": delta})
        yield _event("content_block_stop", {"index": number})
    if reply.error is not None:
        yield _event("error", {"error": {"type": "overloaded_error", "message": reply.error}})
        return
    delta = {"stop_reason": _end(reply), "stop_sequence": None}
    yield _event("message_delta", {"delta": delta, "usage": {"output_tokens": usage["output_tokens"]}})
    yield _event("message_stop", {})


def _event(name: str, value: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n".encode()
