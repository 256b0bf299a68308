"""A TLS server's side of one connection, which tells an end from a cut.

asyncio's own TLS shakes hands before anybody could count who asks, and ends a connection in both directions
as soon as one side is done: an answer that is on its way would be lost.
"""

import asyncio
import contextlib
import ssl
from typing import cast

#: Bytes that are held for a reader or a peer that is slow; then its side is not read any more.
BUFFER = 64 * 1024
_READ = 16 * 1024


class TlsStream(asyncio.Protocol):
    """Decrypted bytes in, bytes to encrypt out. Its owner calls `handshake` first, and `abort` last."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: asyncio.Transport | None = None
        self._ready = False
        self._data = bytearray()
        self._ended = False
        self._lost: Exception | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._made = asyncio.Event()
        self.peer = ""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(BUFFER)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._made.set()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._advance()

    def eof_received(self) -> bool:
        # Without a close_notify before it, this is a connection that was cut.
        if not self._ended:
            self._fail(ConnectionResetError("the connection ended within TLS"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the connection is closed"))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # What its owner calls.

    async def connected(self) -> None:
        """Returns when `peer` is known."""
        await self._made.wait()

    async def handshake(self) -> None:
        """Returns when the connection is encrypted; raises OSError."""
        while not self._ready:
            await self._change()

    async def read(self) -> bytes:
        """Some bytes, or none at the end of what the peer sends; raises OSError when it is cut."""
        while not self._data and not self._ended:
            await self._change()
        data, self._data = bytes(self._data), bytearray()
        if self._transport is not None and not self._ended and self._lost is None:
            self._transport.resume_reading()
        return data

    def unread(self, data: bytes) -> None:
        """Gives back what was read too much: it is read next."""
        self._data[:0] = data

    async def write(self, data: bytes) -> None:
        """Sends, and waits while the peer takes nothing; raises OSError."""
        self._still_there()
        self._tls.write(data)
        self._flush()
        await self._room.wait()
        self._still_there()

    async def send_eof(self) -> None:
        """Says that nothing more is sent; what comes is still read."""
        self._still_there()
        # The peer's own close_notify need not have come.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        await self._room.wait()

    def abort(self) -> None:
        """Ends the connection at once, in both directions, without what is not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection when what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    async def _change(self) -> None:
        self._still_there()
        self._changed.clear()
        await self._changed.wait()

    def _still_there(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _fail(self, error: Exception) -> None:
        if self._lost is None:
            self._lost = error if isinstance(error, OSError) else ConnectionError(str(error))
        self._changed.set()
        self._room.set()

    def _advance(self) -> None:
        """Decrypts what has come."""
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
            while data := self._tls.read(_READ):
                self._data += data
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._flush()
            self._fail(ConnectionError(f"TLS: {error.reason}"))
            self.abort()
            return
        self._flush()
        if len(self._data) > BUFFER and self._transport is not None:
            self._transport.pause_reading()
        self._changed.set()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())
