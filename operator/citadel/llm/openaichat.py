"""OpenAI's protocol of chat completions: LangChain says what is sent and what an answer means, and the bytes
go by the HTTP client at once.

OpenAI's own client between the two checks each part of an answer against its types, and reads a whole one in
a thread: that takes longer than all else that the model gateway does for a call.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

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


def chat_model(spec: ModelSpec, client: httpx2.AsyncClient, common: dict[str, Any]) -> BaseChatOpenAI:
    """The chat model of a Model, by this HTTP client."""
    # Servers that speak the protocol do not all know what OpenAI calls the limit by now.
    own = spec.provider == "openai" and spec.endpoint is None
    return (_OpenAI if own else _Compatible)(
        **common,
        http_async_client=client,
        # A client for calls without await is demanded beside it, and never used.
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


class _Compatible(BaseChatOpenAI):
    """The chat model. Of arguments that are JSON but no object, which LangChain dies of, it makes one."""

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **tools: Any) -> ChatResult:
        asked = self._get_request_payload(messages, **tools)
        answer = await self._http().send(self._request(asked))
        _check(answer)
        return self._create_chat_result(_with_objects(answer.json()))

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **tools: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        asked = self._get_request_payload(
            messages, stream=True, stream_options={"include_usage": True}, **tools
        )
        request = self._request(asked)
        answer = await self._http().send(request, stream=True)
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

    def _http(self) -> httpx2.AsyncClient:
        return cast("httpx2.AsyncClient", self.http_async_client)

    def _request(self, asked: dict[str, Any]) -> httpx2.Request:
        client = self.root_async_client
        headers = {"Authorization": f"Bearer {client.api_key}", "User-Agent": "citadel"}
        url = f"{client.base_url}chat/completions"
        return self._http().build_request("POST", url, json=asked, headers=headers)


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


class _OpenAI(_Compatible, ChatOpenAI):
    """The same for OpenAI itself."""


class _NoWay(httpx2.BaseTransport):
    """Dials nothing."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError("calls are made with await")
