"""OpenAI's protocol of chat completions: LangChain says what is sent and what an answer means, and the bytes
go by the HTTP client at once.

OpenAI's own client between the two checks each part of an answer against its types, and reads a whole one in
a thread: that takes longer than all else that the model gateway does for a call.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import httpx2
import openai
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai.chat_models.base import BaseChatOpenAI, ChatOpenAI

from citadel.api.model import ModelSpec
from citadel.calls.sse import events
from citadel.llm.conversing import described
from citadel.llm.provider import Request, arguments_of

_DONE = b"[DONE]"
_DRAIN_SECONDS = 0.5


def chat_model(spec: ModelSpec, common: dict[str, Any]) -> "Compatible":
    """The chat model of a Model, which holds no connection: each call brings its client."""
    # Servers that speak the protocol do not all know what OpenAI calls the limit by now.
    own = spec.provider == "openai" and spec.endpoint is None
    return (_OpenAI if own else Compatible)(
        **common,
        # Clients are demanded, and never used.
        http_async_client=httpx2.AsyncClient(transport=_NoWay(), trust_env=False),
        http_client=httpx2.Client(transport=_NoWay(), trust_env=False),
        use_responses_api=False,
    )


def tools_of(request: Request) -> dict[str, Any]:
    """The tools that come with a request, as the protocol has them."""
    if not request.tools:
        return {}
    found: dict[str, Any] = {"tools": [described(tool) for tool in request.tools]}
    choice = request.tool_choice
    if choice is not None:
        named = choice not in ("auto", "none", "required")
        found["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    return found


class Compatible(BaseChatOpenAI):
    """The chat model. Of arguments that are JSON but no object, which LangChain dies of, it makes one."""

    def request(self, messages: list[BaseMessage], tools: dict[str, Any], *, stream: bool) -> httpx2.Request:
        """What is sent."""
        how: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        asked = self._get_request_payload(messages, **how, **tools)
        # Not by a client's `build_request`, which merges what it has of headers, cookies and parameters.
        url, key = self._there
        headers = {
            "Accept": "*/*",
            "Authorization": key,
            "Content-Type": "application/json",
            "User-Agent": "citadel",
        }
        body = json.dumps(asked, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return httpx2.Request("POST", url, headers=headers, content=body.encode())

    async def answer(self, client: httpx2.AsyncClient, request: httpx2.Request) -> ChatResult:
        """What comes back."""
        answer = await client.send(request)
        _check(answer)
        return self._create_chat_result(_with_objects(answer.json()))

    async def pieces(
        self, client: httpx2.AsyncClient, request: httpx2.Request
    ) -> AsyncIterator[ChatGenerationChunk]:
        """The same, as it comes."""
        answer = await client.send(request, stream=True)
        try:
            if not answer.is_success:
                await answer.aread()
            _check(answer)
            pieces = events(answer.aiter_raw())
            async for data in pieces:
                if data.startswith(_DONE):
                    await _drain(pieces)
                    return
                piece = json.loads(data)
                if error := piece.get("error"):
                    said = error.get("message") if isinstance(error, dict) else None
                    raise openai.APIError(str(said or "the answer broke off"), request, body=error)
                chunk = self._convert_chunk_to_generation_chunk(piece, AIMessageChunk, None)
                if chunk is not None:
                    yield chunk
        finally:
            await answer.aclose()

    @cached_property
    def _there(self) -> tuple[httpx2.URL, str]:
        client = self.root_async_client
        return httpx2.URL(f"{client.base_url}chat/completions"), f"Bearer {client.api_key}"


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Reads what follows the end, which takes no time: a connection is kept only when all was read."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in pieces:
                pass


def _check(answer: httpx2.Response) -> None:
    """Raises APIStatusError, with what the server says of it."""
    if answer.is_success:
        return
    try:
        body = answer.json()
    except ValueError:
        body = answer.text
    error = body.get("error", body) if isinstance(body, dict) else body
    said = error.get("message") if isinstance(error, dict) else error
    told = f"Error code: {answer.status_code} - {said}" if said else f"Error code: {answer.status_code}"
    raise openai.APIStatusError(told, response=answer, body=error)


def _with_objects(answer: Any) -> Any:
    """An answer whose calls have objects for arguments."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    for choice in choices or ():
        for call in choice["message"].get("tool_calls") or ():
            function = call["function"]
            _, malformed = arguments_of(function["arguments"])
            if malformed is not None:
                with suppress(ValueError):
                    function["arguments"] = json.dumps({"arguments": json.loads(malformed)})
    return answer


class _OpenAI(Compatible, ChatOpenAI):
    """The same for OpenAI itself."""


class _NoWay(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Dials nothing."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError("each call brings its client")

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError("each call brings its client")
