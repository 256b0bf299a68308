"""Amazon's own client, which dials nothing.

botocore makes and signs requests, and reads answers. Before it sends one it asks whoever is registered for
`before-send`, and what is registered here always answers, or raises: by the HTTP client that the caller made,
which goes through the egress proxy. botocore knows no await: it runs in a thread of its own for each call
and the event loop makes its requests meanwhile. Neither the machine's files nor its environment are
asked for credentials or endpoints.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import httpx2
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.session import Session

from citadel.llm.aws import AwsCredential

_SERVICE = "bedrock-runtime"
_T = TypeVar("_T")


class AmazonWay:
    """Between botocore, in its thread, and the event loop that makes its requests."""

    def __init__(self, client: httpx2.AsyncClient, credential: AwsCredential | None) -> None:
        self.loop = asyncio.get_running_loop()
        self._client, self._credential = client, credential
        self._under_way: asyncio.Task[Any] | None = None
        self._answer: httpx2.Response | None = None
        self._closed = False

    async def run(self, work: Callable[[], _T]) -> _T:
        """What works with the client; given up when whoever waits for it is."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="bedrock")
        try:
            return await self.loop.run_in_executor(pool, work)
        finally:
            self._closed = True
            if self._under_way is not None:
                self._under_way.cancel()
                await asyncio.gather(self._under_way, return_exceptions=True)
            if self._answer is not None:
                # The client may outlive the call: what is not read to its end is not for the next.
                await self._answer.aclose()
            pool.shutdown(wait=False)

    def client_of(self, url: str, region: str) -> Any:
        """Amazon's client, whose requests come here."""
        credential = self._credential
        signed = credential is not None and credential.bearer_token is None
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            ignore_configured_endpoint_urls=True,
            parameter_validation=True,
            **({} if signed else {"signature_version": UNSIGNED}),
        )
        keys: dict[str, Any] = {}
        if credential is not None and signed:
            keys = {
                "aws_access_key_id": credential.access_key_id,
                "aws_secret_access_key": credential.secret_access_key,
                "aws_session_token": credential.session_token,
            }
        client = _session().create_client(
            _SERVICE, region_name=region, endpoint_url=url, config=config, **keys
        )
        client.meta.events.register(f"before-send.{_SERVICE}", self._send)
        client.meta.events.register(f"after-call.{_SERVICE}.Converse", _usage_or_none)
        return client

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Of botocore's thread: the answer to a request."""
        answer = self._wait(self._asked(request))
        return AWSResponse(str(request.url), answer.status_code, dict(answer.headers), _Raw(answer, self))

    async def _asked(self, request: AWSPreparedRequest) -> httpx2.Response:
        headers = {name: _text(value) for name, value in request.headers.items()}
        # So that nothing comes that would have to be unpacked, to whatever size.
        headers["Accept-Encoding"] = "identity"
        if self._credential is not None and self._credential.bearer_token is not None:
            headers["Authorization"] = f"Bearer {self._credential.bearer_token}"
        made = self._client.build_request(
            str(request.method), str(request.url), headers=headers, content=request.body or b""
        )
        self._answer = await self._client.send(made, stream=True)
        return self._answer

    def _wait(self, what: Coroutine[Any, Any, _T]) -> _T:
        async def waiting() -> _T:
            self._under_way = asyncio.current_task()
            if self._closed:
                what.close()
                raise ConnectionError("given up")
            return await what

        return asyncio.run_coroutine_threadsafe(waiting(), self.loop).result()

    def next_of(self, parts: AsyncIterator[bytes]) -> bytes:
        """Of botocore's thread: the next bytes, none at the end."""

        async def following() -> bytes:
            async for part in parts:
                return part
            return b""

        return self._wait(following())


class _Raw:
    """The body of an answer as botocore reads it."""

    def __init__(self, answer: httpx2.Response, way: AmazonWay) -> None:
        self._parts, self._way = answer.aiter_bytes(), way

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """All of it, as it comes."""
        while part := self._way.next_of(self._parts):
            yield part

    def close(self) -> None:
        """Nothing: the way closes it, in the event loop."""


@cache
def _session() -> Session:
    """Amazon's client's description of itself, which takes long to read. Nothing of the machine is in it."""
    nothing = (None, None, None, None)
    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    return Session(session_vars={"profile": nothing, "ca_bundle": nothing, **files})


def _usage_or_none(parsed: dict[str, Any], **_: Any) -> None:
    """LangChain's model takes no answer without usage; here it is one whose usage nobody knows."""
    if "output" in parsed:
        parsed.setdefault("usage", {})


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
