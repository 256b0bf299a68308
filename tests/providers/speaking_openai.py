"""OpenAI's chat completions."""

import json
from collections.abc import Iterator
from typing import Any

from .replies import Reply, halves, pieces

PATH = "/v1/chat/completions"


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usage(reply: Reply) -> dict[str, Any] | None:
    if reply.usage is None:
        return None
    sent, answered, cached = reply.usage
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _end(reply: Reply) -> str:
    return reply.end or ("tool_calls" if reply.calls else "stop")


def whole(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """An answer at once."""
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": _text(arguments)}}
        for id_, name, arguments in reply.calls
    ]
    message = {"role": "assistant", "content": reply.text or None, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "finish_reason": _end(reply), "message": message}
    usage = _usage(reply)
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        **({} if usage is None else {"usage": usage}),
    }


def events(body: dict[str, Any], reply: Reply) -> Iterator[bytes]:
    """An answer as a stream, event by event."""
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def chunk(delta: dict[str, Any], end: str | None = None) -> bytes:
        return _data({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(reply.text):
        yield chunk({"content": piece})
    for index, (id_, name, arguments) in enumerate(reply.calls):
        function = {"name": name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]})
        for part in halves(_text(arguments)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    if reply.error is not None:
        yield _data({"error": {"message": reply.error, "type": "server_error"}})
        return
    yield chunk({}, _end(reply))
    usage = _usage(reply)
    if usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        yield _data({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
