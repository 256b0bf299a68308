"""HTTP over connections through the egress proxy: within bounds, and failing as clients know it."""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast

import anyio
import httpcore2
import httpx2

from citadel.calls.dialling import Problem, Proxied

#: Bytes of an answer that are read at most.
MAX_ANSWER = 8 * 1024 * 1024
#: Seconds for which a connection is kept that carries nothing: less than servers keep theirs.
KEEP_SECONDS = 45.0


class ProxiedTransport(httpx2.AsyncBaseTransport):
    """HTTP over such connections. Of an answer at most `most` bytes are read."""

    def __init__(self, backend: Proxied, tls: ssl.SSLContext | None = None, most: int = MAX_ANSWER) -> None:
        self._problem, self._most = backend.problem, most
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            network_backend=backend,
            http2=False,
            keepalive_expiry=KEEP_SECONDS,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request and its answer, whose body is read as it comes."""
        # What would have to be unpacked could become any size.
        request.headers["Accept-Encoding"] = "identity"
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        wanted = httpcore2.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_clients_know_it(request):
            answer = await self._pool.handle_async_request(wanted)
        body = _Body(request, answer, self._problem, self._most)
        response = httpx2.Response(answer.status, headers=answer.headers, stream=body)
        packed = response.headers.get("Content-Encoding", "identity")
        if packed != "identity":
            await answer.aclose()
            message = f"found an answer in {packed[:40]}, expected none that has to be unpacked"
            raise self._problem(message, passes=False, sent=True)
        return response

    async def aclose(self) -> None:
        await self._pool.aclose()


def client_of(transport: ProxiedTransport) -> httpx2.AsyncClient:
    """A client for one call: no redirects, as what is sent is for the host that is named; times are kept by
    the caller."""
    return httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)


class _Body(httpx2.AsyncByteStream):
    """The bytes of an answer, up to a limit."""

    def __init__(
        self, request: httpx2.Request, answer: httpcore2.Response, problem: Problem, most: int
    ) -> None:
        self._request, self._answer, self._problem, self._most = request, answer, problem, most
        self._size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_clients_know_it(self._request):
            # Not once only: a client that has found the end of a stream reads what is left of it anew.
            async for part in cast("AsyncIterable[bytes]", self._answer.stream):
                self._size += len(part)
                if self._size > self._most:
                    message = f"found an answer of more than {self._most} bytes"
                    raise self._problem(message, passes=False, sent=True)
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _as_clients_know_it(request: httpx2.Request) -> Iterator[None]:
    """What breaks on the way, as errors of the library that clients are built on."""
    try:
        yield
    except (
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        anyio.BrokenResourceError,
        anyio.ClosedResourceError,
        OSError,
    ) as error:
        raise httpx2.ReadError(str(error) or type(error).__name__, request=request) from None
