"""Providers by LangChain's chat models. Imported only where one is asked: it takes a second to load.

Each call has an HTTP client of its own, which its caller makes, and is tried once: who calls again reserves
again. What a provider says of a failure is told without the key.
"""

import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import cached_property
from typing import Any, cast

import anthropic
import httpx2
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration
from pydantic import SecretStr

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm import answers, openaichat
from citadel.llm.conversing import Assembly, answer_of, conversation
from citadel.llm.failing import (
    UNREADABLE,
    broken_off,
    first_cause,
    refused_credential,
    seconds_of,
    told_without,
    unreadable,
)
from citadel.llm.provider import Answer, Delta, ProviderError, Request, of_status

#: Makes the HTTP client of one call.
Client = Callable[[], httpx2.AsyncClient]
#: What a server without keys is sent, as its clients insist on one.
NO_KEY = "none"
#: Chat models that are kept of one Model, by their parameters.
_MOST_KEPT = 8
#: A chat model, and what it sends.
_Made = tuple[openaichat.Compatible, httpx2.Request]


class LangChain:
    """`Provider` of a Model by its chat model in LangChain."""

    def __init__(self, spec: ModelSpec, key: str | None, client: Client) -> None:
        self._spec, self._key, self._client = spec, key or NO_KEY, client
        self._chats: dict[str, openaichat.Compatible] = {}
        self._ready: tuple[Request, bool, _Made] | None = None

    def prepare(self, request: Request, *, stream: bool) -> None:
        """Makes what is to be sent; what is wrong with it is told by the call."""
        if self._spec.provider != "anthropic":
            with suppress(Exception):
                self._ready = (request, stream, self._made(request, stream=stream))

    async def ask(self, request: Request) -> Answer:
        """One call; raises ProviderError."""
        async with self._client() as client:
            with self._errors():
                if self._spec.provider == "anthropic":
                    chat = self._anthropic(request, client)
                    # Not by `ainvoke`: LangChain's callbacks, tracers and caches take a millisecond, for
                    # nothing.
                    asked = chat._agenerate(self._conversation(request), **_anthropic_tools(request))
                else:
                    openai_chat, made = self._prepared(request, stream=False)
                    asked = openai_chat.answer(client, made)
                found = await asked
                return answer_of(_message_of(found.generations[0], found.llm_output))

    async def stream(self, request: Request) -> AsyncIterator[Delta | Answer]:
        """The same, as it comes."""
        assembly = Assembly()
        async with self._client() as client:
            with self._errors():
                if self._spec.provider == "anthropic":
                    chat = self._anthropic(request, client)
                    chunks = chat._astream(self._conversation(request), **_anthropic_tools(request))
                else:
                    openai_chat, made = self._prepared(request, stream=True)
                    chunks = openai_chat.pieces(client, made)
                async with aclosing(cast("Any", chunks)):
                    async for chunk in chunks:
                        for delta in assembly.take(cast("AIMessageChunk", _message_of(chunk))):
                            yield delta
        if not assembly.ended:
            raise broken_off()
        yield assembly.answer()

    def _prepared(self, request: Request, *, stream: bool) -> _Made:
        ready, self._ready = self._ready, None
        if ready is not None and ready[0] is request and ready[1] == stream:
            return ready[2]
        return self._made(request, stream=stream)

    def _made(self, request: Request, *, stream: bool) -> _Made:
        chat = self._openai(self._common(request))
        return chat, chat.request(self._conversation(request), openaichat.tools_of(request), stream=stream)

    def _conversation(self, request: Request) -> Any:
        return conversation(request, None if request.schema is None else answers.instruction(request.schema))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What the clients of providers raise, as ProviderError."""
        try:
            yield
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            raise self._of_status(error) from None
        except (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.HTTPError) as error:
            cause = first_cause(error)
            if isinstance(cause, ProviderError):
                raise cause from None  # of the way there
            raise ProviderError(Reason.MODEL_UNAVAILABLE, self._told(cause)) from None
        except openai.APIError as error:
            # In the midst of an answer, where there is no status any more.
            raise ProviderError(Reason.MODEL_UNAVAILABLE, self._told(error)) from None
        except (openai.OpenAIError, anthropic.AnthropicError, *UNREADABLE) as error:
            raise unreadable(self._told(error)) from None

    def _of_status(self, error: Any) -> ProviderError:
        status = int(error.status_code)
        if status in (401, 403):
            return refused_credential(status)
        if status < 300:
            # In the midst of an answer: what came until then is paid for.
            return ProviderError(Reason.MODEL_UNAVAILABLE, self._told(error))
        return of_status(status, self._told(error), seconds_of(error.response.headers.get("retry-after")))

    def _told(self, error: BaseException) -> str:
        return told_without(error, *([] if self._key == NO_KEY else [self._key]))

    def _common(self, request: Request) -> dict[str, Any]:
        """What chat models are made with."""
        spec = self._spec
        optional = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
        }
        given: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        return {
            "model": spec.model,
            "max_tokens": request.max_tokens,
            "api_key": SecretStr(self._key),
            "base_url": spec.url,
            "max_retries": 0,
            "timeout": None,
            **given,
        }

    def _anthropic(self, request: Request, client: httpx2.AsyncClient) -> "_Anthropic":
        chat = _Anthropic(**self._common(request))
        chat.__dict__["_http"] = client
        return chat

    def _openai(self, common: dict[str, Any]) -> openaichat.Compatible:
        """The chat model with these parameters, which is kept between calls."""
        name = repr(common)
        if name not in self._chats:
            if len(self._chats) >= _MOST_KEPT:
                self._chats.clear()
            self._chats[name] = openaichat.chat_model(self._spec, common)
        return self._chats[name]


def _message_of(found: ChatGeneration, of_all: dict[str, Any] | None = None) -> AIMessage:
    """The message of an answer, with what was told beside it: why it ended."""
    message = cast("AIMessage", found.message)
    told = {**(of_all or {}), **(found.generation_info or {})}
    if told:
        message.response_metadata = {**told, **message.response_metadata}
    return message


def _anthropic_tools(request: Request) -> dict[str, Any]:
    if not request.tools:
        return {}
    found: dict[str, Any] = {
        "tools": [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
    }
    choice = request.tool_choice
    if choice is not None:
        kinds = {"auto": "auto", "none": "none", "required": "any"}
        found["tool_choice"] = (
            {"type": kinds[choice]} if choice in kinds else {"type": "tool", "name": choice}
        )
    return found


class _Anthropic(ChatAnthropic):
    """The chat model with an HTTP client of ours, which it has no field for."""

    @cached_property
    def _async_client(self) -> anthropic.AsyncClient:
        return anthropic.AsyncClient(**self._client_params, http_client=self.__dict__["_http"])

    def _format_output(self, data: Any, **how: Any) -> Any:
        with _quietly():
            return super()._format_output(data, **how)

    def _make_message_chunk_from_anthropic_event(self, event: Any, **how: Any) -> Any:
        """What was sent is counted at the beginning of a stream, and at its end not by every server."""
        if event.type == "message_start":
            self.__dict__["_began"] = event.message.usage
        began = self.__dict__.get("_began")
        if event.type == "message_delta" and not event.usage.input_tokens and began is not None:
            for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
                setattr(event.usage, name, getattr(began, name))
        return super()._make_message_chunk_from_anthropic_event(event, **how)


@contextmanager
def _quietly() -> Iterator[None]:
    """Pydantic warns of what it did not expect, and tells what that is: answers are not for logs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
