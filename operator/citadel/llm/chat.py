"""What agents ask by OpenAI's protocol of chat completions: its requests, read strictly. Pure.

What it does not know it refuses by name, as far as that would change an answer; fields that only say how an
answer is sent, or who asks, count for nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from citadel.api.model import ModelSpec
from citadel.api.problems import found, shortened
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.llm.provider import Message, Request, ToolCall, ToolSpec, arguments_of

#: Fields that do not change what is answered: how it is sent, and to whom. A record is found without them.
_ABOUT = frozenset(("stream", "stream_options", "model", "user", "metadata", "store", "n"))
#: Fields that are read, or say how an answer is sent.
_KNOWN = _ABOUT | {
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "stop",
}
#: Fields that would change an answer, and are taken only where they say what holds anyway.
_NEUTRAL: Mapping[str, tuple[Json, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_p": (1,),
    "parallel_tool_calls": (True,),
}
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_MESSAGES = 4096
MAX_TOOLS = 128
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


class InvalidRequest(ValueError):
    """The request is none of the protocol; the message says which field."""


@dataclass(frozen=True)
class Asked:
    """What a request asks for."""

    messages: tuple[Message, ...]
    digest: str
    """Of the request, without what only says how the answer is sent."""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    schema: Json = None
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    with_usage: bool = False
    """Whether a stream ends with what it took."""


@dataclass(frozen=True)
class Bounds:
    """What an agent says of its questions, whatever it asks."""

    max_tokens: int | None = None
    """Most tokens of one answer; without it what the Model says."""
    temperature: float | None = None


def request_of(asked: Asked, bounds: Bounds, spec: ModelSpec) -> Request:
    """What a Model is asked: no longer an answer than the agent, or else the Model, lets it have."""
    given = spec.parameters
    most = bounds.max_tokens or given.max_tokens
    own = given.temperature if bounds.temperature is None else bounds.temperature
    return Request(
        asked.messages,
        min(most, asked.max_tokens or most),
        own if asked.temperature is None else asked.temperature,
        given.top_p,
        asked.stop or given.stop,
        asked.tools,
        asked.tool_choice,
        asked.schema,
    )


def read(body: Json) -> Asked:
    """What a request asks for; raises InvalidRequest."""
    if not isinstance(body, dict):
        raise InvalidRequest(f"found {found(body)}, expected an object")
    for name, value in body.items():
        neutral = _NEUTRAL.get(name, (None,) if name not in _KNOWN else None)
        if neutral is not None and value is not None and value not in neutral:
            raise InvalidRequest(
                f"{shortened(name)}: found {found(value)}, which means nothing here; leave it out"
            )
    options = body.get("stream_options")
    tools = tuple(_tools(body.get("tools")))
    return Asked(
        messages=tuple(_messages(body.get("messages"))),
        digest=digest_of(body),
        tools=tools,
        tool_choice=_choice(body.get("tool_choice"), tools),
        schema=_schema(body.get("response_format")),
        max_tokens=_whole(body, "max_completion_tokens") or _whole(body, "max_tokens"),
        temperature=_number(body, "temperature"),
        stop=_stop(body.get("stop")),
        stream=body.get("stream") is True,
        with_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def digest_of(body: Mapping[str, Json]) -> str:
    """By what the same question is known."""
    return digest(canonical(question_of(body)))


def question_of(body: Mapping[str, Json]) -> dict[str, Json]:
    """What of a request decides its answer."""
    return {name: value for name, value in body.items() if name not in _ABOUT}


def _messages(given: Json) -> Iterator[Message]:
    if not isinstance(given, list) or not given:
        raise InvalidRequest(f"messages: found {found(given)}, expected a list of one message or more")
    if len(given) > MAX_MESSAGES:
        raise InvalidRequest(f"messages: found {len(given)}, expected at most {MAX_MESSAGES}")
    for number, item in enumerate(given):
        at = f"messages[{number}]"
        if not isinstance(item, dict):
            raise InvalidRequest(f"{at}: found {found(item)}, expected an object")
        role = _ROLES.get(str(item.get("role")))
        if role is None:
            told = found(item.get("role"))
            raise InvalidRequest(f"{at}.role: found {told}, expected one of {', '.join(_ROLES)}")
        id_ = item.get("tool_call_id")
        if (role == "tool") != isinstance(id_, str):
            raise InvalidRequest(f"{at}.tool_call_id: expected a text, of a message by a tool alone")
        calls = tuple(_calls(item.get("tool_calls"), at)) if role == "assistant" else ()
        known = cast("Any", role)
        yield Message(known, _text(item.get("content"), at), calls, id_ if isinstance(id_, str) else None)


def _text(content: Json, at: str) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "".join(_part(part, f"{at}.content[{number}]") for number, part in enumerate(content))
        case _:
            raise InvalidRequest(f"{at}.content: found {found(content)}, expected a text")


def _part(part: Json, at: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise InvalidRequest(f"{at}: expected a part of the type text; there are no others here")


def _calls(given: Json, at: str) -> Iterator[ToolCall]:
    if given is None:
        return
    if not isinstance(given, list):
        raise InvalidRequest(f"{at}.tool_calls: found {found(given)}, expected a list")
    for number, item in enumerate(given):
        function = item.get("function") if isinstance(item, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        id_ = item.get("id") if isinstance(item, dict) else None
        if not isinstance(name, str) or not isinstance(arguments, str) or not isinstance(id_, str):
            expected = "expected an id, and a function with name and arguments, all of them texts"
            raise InvalidRequest(f"{at}.tool_calls[{number}]: {expected}")
        yield ToolCall(id_, name, *arguments_of(arguments))


def _tools(given: Json) -> Iterator[ToolSpec]:
    if given is None:
        return
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        raise InvalidRequest(f"tools: found {found(given)}, expected a list of at most {MAX_TOOLS}")
    names: set[str] = set()
    for number, item in enumerate(given):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest(f"tools[{number}]: expected a function with a name")
        parameters = function.get("parameters")
        name = str(function["name"])
        if not _TOOL_NAME.fullmatch(name) or name in names:
            expected = "expected one of its own, of up to 64 letters, digits, _ and -"
            raise InvalidRequest(f"tools[{number}].function.name: found {found(name)}, {expected}")
        names.add(name)
        tool = ToolSpec(name, str(function.get("description") or ""))
        yield replace(tool, parameters=parameters) if isinstance(parameters, dict) else tool


def _choice(given: Json, tools: tuple[ToolSpec, ...]) -> str | None:
    match given:
        case None | "auto" | "none":
            return given
        case "required" if tools:
            return given
        case {"function": {"name": str(name)}} if any(tool.name == name for tool in tools):
            return name
        case _:
            expected = "expected auto, none, required, or one of tools by its name"
            raise InvalidRequest(f"tool_choice: found {found(given)}, {expected}")


def _schema(given: Json) -> Json:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
        case _:
            raise InvalidRequest("response_format: expected text, json_object, or json_schema with a schema")


def _whole(body: Mapping[str, Json], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRequest(f"{name}: found {found(value)}, expected a whole number of at least 1")
    return value


def _number(body: Mapping[str, Json], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise InvalidRequest(f"{name}: found {found(value)}, expected a number from 0 to 2")
    return float(value)


def _stop(given: Json) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if texts is None:
        return ()
    if not isinstance(texts, list) or len(texts) > 4 or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("stop: expected a text, or at most four")
    return tuple(str(text) for text in texts)
