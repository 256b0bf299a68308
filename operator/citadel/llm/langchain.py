"""Providers by LangChain's chat models. Imported only where one is asked: it takes a second to load.

Each call has an HTTP client of its own, which its caller makes, and is tried once: who calls again reserves
again. What a provider says of a failure is told without the key.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import anthropic
import httpx2
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai.chat_models.base import BaseChatOpenAI, ChatOpenAI
from pydantic import SecretStr

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm.provider import Answer, Message, ProviderError, Request, of_status

#: Makes the HTTP client of one call.
Client = Callable[[], httpx2.AsyncClient]
#: What a server without keys is sent, as its clients insist on one.
NO_KEY = "none"


class LangChain:
    """`Provider` of a Model by its chat model in LangChain."""

    def __init__(self, spec: ModelSpec, key: str | None, client: Client) -> None:
        self._spec, self._key, self._client = spec, key or NO_KEY, client

    async def ask(self, request: Request) -> Answer:
        """One call; raises ProviderError."""
        async with self._client() as client:
            try:
                found = await self._chat(request, client).ainvoke(
                    [_message(item) for item in request.messages]
                )
            except (openai.APIStatusError, anthropic.APIStatusError) as error:
                raise self._of_status(error) from None
            except (openai.APIConnectionError, anthropic.APIConnectionError) as error:
                cause = error.__cause__ or error
                if isinstance(cause, ProviderError):
                    raise cause from None  # of the way there
                raise ProviderError(Reason.MODEL_UNAVAILABLE, self._told(cause)) from None
            except (openai.OpenAIError, anthropic.AnthropicError, ValueError, TypeError, KeyError) as error:
                raise ProviderError(
                    Reason.MODEL_ERROR, f"the answer cannot be read: {self._told(error)}"
                ) from None
        return _answer(found)

    def _of_status(self, error: Any) -> ProviderError:
        status = int(error.status_code)
        if status in (401, 403):
            return ProviderError(
                Reason.MODEL_ERROR, f"the provider refused the credential: status {status}", sent=False
            )
        return of_status(status, self._told(error), _seconds(error.response.headers.get("retry-after")))

    def _told(self, error: BaseException) -> str:
        text = str(getattr(error, "message", "") or error or type(error).__name__)
        return text.replace(self._key, "***")[:512] if len(self._key) > len(NO_KEY) else text[:512]

    def _chat(self, request: Request, client: httpx2.AsyncClient) -> BaseChatModel:
        spec = self._spec
        optional = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
        }
        given: dict[str, Any] = {name: value for name, value in optional.items() if value is not None}
        common: dict[str, Any] = {
            "model": spec.model,
            "max_tokens": request.max_tokens,
            "api_key": SecretStr(self._key),
            "base_url": spec.url,
            "max_retries": 0,
            "timeout": None,
            **given,
        }
        if spec.provider == "anthropic":
            chat = _Anthropic(**common)
            chat.__dict__["_http"] = client
            return chat
        # Servers that speak the protocol do not all know what OpenAI calls the limit by now.
        kind = ChatOpenAI if spec.endpoint is None else BaseChatOpenAI
        # A client for calls without await is demanded beside it, and never used.
        return kind(
            **common,
            http_async_client=client,
            http_client=httpx2.Client(transport=_NoWay(), trust_env=False),
            stream_usage=False,
        )


class _NoWay(httpx2.BaseTransport):
    """Dials nothing."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError("calls are made with await")


class _Anthropic(ChatAnthropic):
    """The chat model with an HTTP client of ours, which it has no field for."""

    @cached_property
    def _async_client(self) -> anthropic.AsyncClient:
        return anthropic.AsyncClient(**self._client_params, http_client=self.__dict__["_http"])


def _message(message: Message) -> BaseMessage:
    kinds: dict[str, type[BaseMessage]] = {
        "system": SystemMessage,
        "user": HumanMessage,
        "assistant": AIMessage,
    }
    return kinds[message.role](content=message.text)


def _answer(found: Any) -> Answer:
    usage = found.usage_metadata
    if usage is None:
        return Answer(str(found.text))
    details = usage.get("input_token_details") or {}
    return Answer(
        str(found.text),
        int(usage["input_tokens"]),
        int(usage["output_tokens"]),
        int(details.get("cache_read") or 0),
    )


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None
