"""Amazon Bedrock by Converse, through LangChain's chat model and Amazon's client (`amazon.py`)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from botocore.exceptions import BotoCoreError, ClientError
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import AIMessageChunk

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm import answers
from citadel.llm.amazon import AmazonWay
from citadel.llm.aws import AwsCredential, InvalidCredential, region_of
from citadel.llm.conversing import Assembly, answer_of, conversation
from citadel.llm.failing import (
    UNREADABLE,
    broken_off,
    refused_credential,
    seconds_of,
    told_without,
    unreadable,
)
from citadel.llm.langchain import Client
from citadel.llm.provider import Answer, Delta, ProviderError, Request, of_status

#: Where there is neither a credential nor one of Amazon's hosts: nothing is signed then.
_NOWHERE = "us-east-1"


class Bedrock:
    """`Provider` of a Model that Amazon Bedrock has."""

    def __init__(self, spec: ModelSpec, key: str | None, client: Client) -> None:
        self._spec, self._client = spec, client
        try:
            self._credential = None if key is None else AwsCredential.parse(key)
        except InvalidCredential as error:
            raise ProviderError(Reason.MODEL_ERROR, f"its credential: {error}", sent=False) from None

    def prepare(self, request: Request, *, stream: bool) -> None:
        """Nothing."""

    async def ask(self, request: Request) -> Answer:
        """One call; raises ProviderError."""
        async with self._client() as client:
            way = AmazonWay(client, self._credential)
            with self._errors():
                chat, messages = self._chat(request, way), self._conversation(request)
                return answer_of(await way.run(lambda: chat.invoke(messages)))

    async def stream(self, request: Request) -> AsyncIterator[Delta | Answer]:
        """The same, as it comes."""
        assembly = Assembly()
        async with self._client() as client:
            way = AmazonWay(client, self._credential)
            with self._errors():
                chat, messages = self._chat(request, way), self._conversation(request)
                chunks: asyncio.Queue[AIMessageChunk | None] = asyncio.Queue()

                def pump() -> None:
                    try:
                        for chunk in chat.stream(messages):
                            way.loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                    finally:
                        way.loop.call_soon_threadsafe(chunks.put_nowait, None)

                pumping = asyncio.create_task(way.run(pump))
                try:
                    while (chunk := await chunks.get()) is not None:
                        for delta in assembly.take(chunk):
                            yield delta
                    await pumping
                finally:
                    pumping.cancel()
                    await asyncio.gather(pumping, return_exceptions=True)
        if not assembly.ended:
            raise broken_off()
        yield assembly.answer()

    def _conversation(self, request: Request) -> Any:
        return conversation(request, None if request.schema is None else answers.instruction(request.schema))

    def _chat(self, request: Request, way: "AmazonWay") -> Any:
        spec, credential = self._spec, self._credential
        region = credential.region if credential else region_of(urlsplit(str(spec.url)).hostname or "")
        client = way.client_of(str(spec.url), region or _NOWHERE)
        chat = ChatBedrockConverse(
            model_id=str(spec.model),
            # What the model itself would ask the cluster's provider about is told it, true or not: nothing
            # is dialled but the call, and what a model cannot do its provider says.
            provider="anthropic" if "anthropic" in str(spec.model) else "other",
            base_model_id=str(spec.model),
            client=client,
            bedrock_client=client,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop_sequences=list(request.stop) or None,
            disable_streaming=False,
        )
        if not request.tools or (request.tool_choice == "none" and not _calls(request)):
            return chat
        return chat.bind(toolConfig=_tools(request))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._of_client(error) from None
        except httpx2.HTTPError as error:
            raise ProviderError(Reason.MODEL_UNAVAILABLE, self._told(error)) from None
        except ConnectionError:
            raise broken_off() from None
        except (BotoCoreError, *UNREADABLE) as error:
            raise unreadable(self._told(error)) from None

    def _of_client(self, error: ClientError) -> ProviderError:
        told = cast("dict[str, Any]", error.response)
        about = told.get("ResponseMetadata") or {}
        message = self._told(Exception(str(told.get("Error", {}).get("Message") or error)))
        status = int(about.get("HTTPStatusCode") or 200)
        if status in (401, 403):
            return refused_credential(status)
        if status < 300:
            # In the midst of a stream, where no status is: what came until then is paid for.
            return ProviderError(Reason.MODEL_UNAVAILABLE, message)
        return of_status(status, message, seconds_of((about.get("HTTPHeaders") or {}).get("retry-after")))

    def _told(self, error: BaseException) -> str:
        return told_without(error, *(self._credential.secrets if self._credential else ()))


def _tools(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tools": [
            {
                "toolSpec": {
                    "name": tool.name,
                    "description": tool.description or tool.name,
                    "inputSchema": {"json": tool.parameters},
                }
            }
            for tool in request.tools
        ]
    }
    choice = request.tool_choice
    if choice == "required":
        found["toolChoice"] = {"any": {}}
    elif choice is not None and choice not in ("auto", "none"):
        found["toolChoice"] = {"tool": {"name": choice}}
    return found


def _calls(request: Request) -> bool:
    """Whether tools were called: then the protocol wants to know of them, though no more are to be called."""
    return any(message.tool_calls for message in request.messages)
