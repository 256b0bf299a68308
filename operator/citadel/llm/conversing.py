"""Conversations as LangChain has them, and back. Loads LangChain: imported only where a model is asked."""

import json
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from citadel.core.jsonvalues import InvalidValue, check
from citadel.llm import answers
from citadel.llm.provider import (
    Answer,
    CallDelta,
    Delta,
    FinishReason,
    Message,
    Request,
    ToolCall,
    ToolSpec,
    arguments_of,
)

#: What providers call the ends of answers; what is not here is an ordinary one.
_ENDS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
}
_Usage = tuple[int | None, int | None, int]


def conversation(request: Request, told: str | None = None) -> list[BaseMessage]:
    """The messages; what systems say, and `told`, at the beginning, as two of the protocols want it."""
    systems = [message.text for message in request.messages if message.role == "system"]
    system = "\n\n".join([*systems, told] if told else systems)
    rest = [_message(message) for message in request.messages if message.role != "system"]
    return [SystemMessage(system), *rest] if system else rest


def _message(message: Message) -> BaseMessage:
    if message.role == "tool":
        return ToolMessage(message.text, tool_call_id=message.tool_call_id or "")
    if message.role == "user":
        return HumanMessage(message.text)
    calls = [
        {"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"}
        for call in message.tool_calls
    ]
    return AIMessage(message.text, tool_calls=calls)


def described(tool: ToolSpec) -> dict[str, Any]:
    """A tool as LangChain takes it for every provider."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def answer_of(found: AIMessage) -> Answer:
    """An answer that came at once."""
    calls = [
        _checked(call["id"] or f"call_{number}", call["name"], call["args"])
        for number, call in enumerate(found.tool_calls)
    ]
    calls += [
        ToolCall(call["id"] or f"call_{number}", call["name"] or "", *_malformed(call["args"] or ""))
        for number, call in enumerate(found.invalid_tool_calls, len(calls))
    ]
    text = answers.clean(str(found.text))
    return _answer(text, calls, _end(found) or "stop", _usage(found))


class Assembly:
    """An answer that comes in pieces."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[_Pieces] = []
        self._end: FinishReason | None = None
        self._usage: _Usage = (None, None, 0)

    @property
    def ended(self) -> bool:
        """Whether the provider has said that this is all."""
        return self._end is not None

    def take(self, chunk: AIMessageChunk) -> list[Delta]:
        """What a piece adds."""
        found: list[Delta] = []
        if text := answers.clean(str(chunk.text)):
            self._texts.append(text)
            found.append(Delta(text))
        for piece in chunk.tool_call_chunks:
            found.append(Delta(call=self._piece(piece)))
        self._end = _end(chunk) or self._end
        usage = _usage(chunk)
        if usage != (None, None, 0):
            # Where it comes more than once it is what was taken so far: the last counts.
            self._usage = usage
        return found

    def _piece(self, piece: Any) -> CallDelta:
        index, name, id_ = piece["index"], piece["name"], piece["id"]
        text = answers.clean(piece["args"] or "")
        at = next((number for number, call in enumerate(self._calls) if call.index == index), None)
        # Some servers number nothing: a new id begins a new call.
        if at is None or (id_ and self._calls[at].id and id_ != self._calls[at].id):
            at = len(self._calls)
            self._calls = [*(call for call in self._calls), _Pieces(index, id_ or f"call_{at}", name or "")]
            self._calls[at].texts.append(text)
            return CallDelta(at, self._calls[at].id, self._calls[at].name, text)
        self._calls[at].texts.append(text)
        return CallDelta(at, arguments=text)

    def answer(self) -> Answer:
        """All of it."""
        calls = [ToolCall(call.id, call.name, *arguments_of("".join(call.texts))) for call in self._calls]
        return _answer("".join(self._texts), calls, self._end or "stop", self._usage)


class _Pieces:
    """A tool call that is not whole yet."""

    def __init__(self, index: int | None, id_: str, name: str) -> None:
        self.index, self.id, self.name = index, id_, name
        self.texts: list[str] = []


def _answer(text: str, calls: list[ToolCall], end: FinishReason, usage: _Usage) -> Answer:
    if calls and end == "stop":
        end = "tool_calls"
    input_tokens, output_tokens, cached = usage
    if not output_tokens and (text or calls):
        output_tokens = None
    return Answer(text, input_tokens, output_tokens, cached, tuple(calls), end)


def _usage(found: AIMessage) -> _Usage:
    """What the provider says that it took. No question takes nothing: that is a provider who does not say."""
    usage = found.usage_metadata
    if usage is None or not usage["input_tokens"]:
        return (None, None, 0)
    details = usage.get("input_token_details") or {}
    return (int(usage["input_tokens"]), int(usage["output_tokens"]), int(details.get("cache_read") or 0))


def _end(found: AIMessage) -> FinishReason | None:
    """Why an answer ended, where a piece of it says so."""
    told = found.response_metadata
    reason = told.get("finish_reason") or told.get("stop_reason") or told.get("stopReason")
    return None if not reason else _ENDS.get(str(reason), "stop")


def _checked(id_: str, name: str, arguments: dict[str, Any]) -> ToolCall:
    try:
        check(arguments)
    except InvalidValue:
        return ToolCall(id_, name, *_malformed(json.dumps(arguments)))
    return ToolCall(id_, name, arguments)


def _malformed(text: str) -> tuple[dict[str, Any], str]:
    return {}, answers.clean(text)
