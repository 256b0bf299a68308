"""Answers to agents, by OpenAI's protocol of chat completions: whole, in pieces, as they are recorded."""

from collections.abc import Iterator, Mapping
from typing import Any

from citadel.llm.provider import Answer, CallDelta, Delta, ToolCall, arguments_of


def message_of(answer: Answer) -> dict[str, Any]:
    """The message of an answer, and why it ended: what is recorded of it."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [_call(call.id, call.name, call.text) for call in answer.tool_calls]
    else:
        message["content"] = answer.text
    return {"message": message, "finish_reason": answer.finish_reason}


def answer_of(recorded: Mapping[str, Any]) -> Answer:
    """The answer of which this was recorded."""
    message = recorded["message"]
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], *arguments_of(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    )
    text = message.get("content") or ""
    return Answer(text, tool_calls=calls, finish_reason=recorded["finish_reason"])


def completion(recorded: Mapping[str, Any], name: str, model: str, used: tuple[int, int]) -> dict[str, Any]:
    """A whole answer on the wire. `used` are the tokens of what was sent and of the answer."""
    choice = {"index": 0, "message": recorded["message"], "finish_reason": recorded["finish_reason"]}
    about = {"id": name, "object": "chat.completion", "created": 0, "model": model}
    return {**about, "choices": [choice], "usage": _usage(used)}


def chunk(delta: Delta, name: str, model: str) -> dict[str, Any]:
    """A piece of an answer on the wire."""
    told: dict[str, Any] = {"role": "assistant"}
    if delta.call is None:
        told["content"] = delta.text
    else:
        told["tool_calls"] = [_call_delta(delta.call)]
    return _chunk(name, model, [{"index": 0, "delta": told, "finish_reason": None}])


def last_chunks(reason: str, name: str, model: str, used: tuple[int, int] | None) -> list[dict[str, Any]]:
    """The end of an answer that was sent in pieces; with what it took, unless that is None."""
    ended = [_chunk(name, model, [{"index": 0, "delta": {}, "finish_reason": reason}])]
    return ended if used is None else [*ended, {**_chunk(name, model, []), "usage": _usage(used)}]


def pieces(answer: Answer) -> Iterator[Delta]:
    """An answer that is known as a whole, in pieces."""
    if answer.text:
        yield Delta(answer.text)
    for index, call in enumerate(answer.tool_calls):
        yield Delta(call=CallDelta(index, call.id, call.name, call.text))


def error(code: str, message: str) -> dict[str, Any]:
    """What is said instead of an answer."""
    return {"error": {"code": code, "type": code, "message": message, "param": None}}


def _chunk(name: str, model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    about = {"id": name, "object": "chat.completion.chunk", "created": 0, "model": model}
    return {**about, "choices": choices}


def _usage(used: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)}


def _call(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def _call_delta(call: CallDelta) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": call.arguments}
    about: dict[str, Any] = {"index": call.index}
    if call.id is not None:
        about |= {"id": call.id, "type": "function"}
        function["name"] = call.name or ""
    return {**about, "function": function}
