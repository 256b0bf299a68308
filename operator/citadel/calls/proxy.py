"""Connections to the egress proxy. One is opened ahead: its handshake takes longer than the rest of the way.

The proxy waits a while for what a connection is for; one that nobody wants by then is closed, and none is
opened in its stead.
"""

import asyncio
import ssl
from contextlib import suppress

import anyio
from anyio.streams.tls import TLSStream

#: Seconds for which a connection is held ready: less than the proxy waits for its request.
HELD_SECONDS = 60.0
#: What reaching the proxy may fail with.
UNREACHED = (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError)


class EgressProxy:
    """The proxy at `host:port`, whose certificate `tls` checks."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._ahead: asyncio.Task[TLSStream] | None = None
        self._end: asyncio.TimerHandle | None = None
        self._cutting: set[asyncio.Task[None]] = set()

    async def connect(self) -> TLSStream:
        """A connection that nobody else has; raises one of UNREACHED.

        It may have been held ready, and have ended meanwhile: then another one will do.
        """
        ahead, self._ahead = self._ahead, asyncio.create_task(self._open())
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(HELD_SECONDS, self.close)
        if ahead is not None:
            with suppress(*UNREACHED):
                return await ahead
        return await self._open()

    def close(self) -> None:
        """Cuts what is held ready."""
        ahead, self._ahead = self._ahead, None
        if self._end is not None:
            self._end.cancel()
        if ahead is not None and not ahead.cancel():
            ahead.add_done_callback(self._cut)

    def _cut(self, ahead: "asyncio.Task[TLSStream]") -> None:
        if ahead.exception() is None:
            cutting = asyncio.create_task(anyio.aclose_forcefully(ahead.result()))
            self._cutting.add(cutting)
            cutting.add_done_callback(self._cutting.discard)

    async def _open(self) -> TLSStream:
        return await anyio.connect_tcp(
            self._host, self._port, tls=True, ssl_context=self._tls, tls_standard_compatible=False
        )
