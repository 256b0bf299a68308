"""Connections to the egress proxy. A handshake takes longer than the rest of the way: so a connection whose
tunnel has ended in order carries another one, and where it has not, one is opened while nobody waits.

The proxy waits a while for what a connection is for; those that nobody wants by then are closed.
"""

import asyncio
import ssl
from collections.abc import Awaitable
from contextlib import suppress

import anyio
from anyio.streams.tls import TLSStream

#: Seconds for which a connection is held ready: less than the proxy waits for its request.
HELD_SECONDS = 60.0
#: Connections that are held ready at most.
MOST_HELD = 8
#: What reaching the proxy may fail with.
UNREACHED = (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class EgressProxy:
    """The proxy at `host:port`, whose certificate `tls` checks."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._held: list[TLSStream] = []
        self._end: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def connect(self, *, fresh: bool = False) -> TLSStream:
        """A connection that nobody else has; raises one of UNREACHED.

        It may have been held ready, and have ended meanwhile: then a `fresh` one will do, and none is held.
        """
        if fresh:
            self._drop()
        return self._held.pop() if self._held else await self._open()

    def release(self, stream: TLSStream, ended: Awaitable[bool]) -> None:
        """Takes a connection back; `ended` says whether its tunnel has ended in order, and never fails."""
        self._begin(self._take_back(stream, ended))

    async def aclose(self) -> None:
        """Cuts all that nobody uses, when those that come to their end have done so."""
        self._closing = True
        self._drop()
        while self._tasks:
            await asyncio.gather(*self._tasks)
            self._drop()

    def _drop(self) -> None:
        """Cuts what is held ready."""
        held, self._held = self._held, []
        if self._end is not None:
            self._end.cancel()
        for stream in held:
            self._begin(anyio.aclose_forcefully(stream))

    def _begin(self, doing: Awaitable[None]) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_back(self, stream: TLSStream, ended: Awaitable[bool]) -> None:
        if not await ended:
            await anyio.aclose_forcefully(stream)
            if not self._held and not self._closing:
                with suppress(*UNREACHED):
                    self._hold(await self._open())
        elif len(self._held) < MOST_HELD and not self._closing:
            self._hold(stream)
        else:
            await anyio.aclose_forcefully(stream)

    def _hold(self, stream: TLSStream) -> None:
        self._held.append(stream)
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(HELD_SECONDS, self._drop)

    async def _open(self) -> TLSStream:
        return await anyio.connect_tcp(
            self._host, self._port, tls=True, ssl_context=self._tls, tls_standard_compatible=False
        )
