"""The way from the control plane to servers beyond: through the egress proxy, which asks whether it may be.

One tunnel carries one connection, which is TLS to the server again where its URL says so; a connection to the
proxy carries one tunnel after another.
"""

import asyncio
import select
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import httpcore2
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

from citadel.calls.proxy import UNREACHED, EgressProxy

_HEAD_LIMIT = 8192
#: Bytes of a request that are held back at most, until its answer is waited for.
_MOST_HELD = 2**16
_CONNECT_SECONDS = 30.0
_MOST = 0xFFFF
#: What a server may still say, and how long it has for it, when nobody listens any more.
_LAST_BYTES, _LAST_SECONDS = 2**18, 2.0


class Problem(Protocol):
    """Makes the error of whoever dials: what the HTTP client between raises is read by its type."""

    def __call__(self, message: str, *, passes: bool, sent: bool) -> Exception:
        """`passes`: it may pass by itself; `sent`: something may have had its effect."""
        ...


@dataclass(frozen=True)
class Ticket:
    """What a call shows the egress proxy for itself."""

    token: str = field(repr=False)
    step: str
    attempt: int


class Tunnel(ByteStream):
    """The bytes of one tunnel, in the frames of the egress proxy: two bytes of length, then so many bytes.

    Length 0 ends its direction; with both ends said, the connection may carry another tunnel.
    """

    def __init__(self, proxy: EgressProxy, stream: TLSStream, held: bytes) -> None:
        self._proxy, self._stream, self._held = proxy, stream, held
        self._left = 0
        self._ends = [False, False]
        self._busy = 0
        """What is under way, or was broken off: then nobody knows what the connection carries."""
        self._closed = False

    @property
    def transport_stream(self) -> TLSStream:
        """What its frames go through."""
        return self._stream

    @property
    def holds(self) -> bool:
        """Whether something has come that nobody has read."""
        return bool(self._held)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Some bytes; raises EndOfStream at the end."""
        while not self._left and not self._ends[0]:
            while len(self._held) < 2:
                self._held += await self._more()
            self._left, self._held = int.from_bytes(self._held[:2]), self._held[2:]
            self._ends[0] = not self._left
        if self._ends[0]:
            raise anyio.EndOfStream
        if not self._held:
            self._held = await self._more()
        size = min(self._left, max_bytes)
        data, self._held = self._held[:size], self._held[size:]
        self._left -= len(data)
        return data

    async def _more(self) -> bytes:
        self._busy += 1
        data = await self._stream.receive()
        self._busy -= 1
        return data

    async def send(self, item: bytes) -> None:
        """Sends all of it."""
        for at in range(0, len(item), _MOST):
            part = item[at : at + _MOST]
            await self._send(len(part).to_bytes(2) + part)

    async def _send(self, frame: bytes) -> None:
        self._busy += 1
        await self._stream.send(frame)
        self._busy -= 1

    async def send_eof(self) -> None:
        """Says that nothing more is sent."""
        await self._send(b"\0\0")
        self._ends[1] = True

    async def aclose(self) -> None:
        """Gives the connection back, once; nobody waits until the other side knows."""
        if not self._closed:
            self._closed = True
            self._proxy.release(self._stream, self._ended())

    async def _ended(self) -> bool:
        """Ends both directions; whether nothing of this tunnel is left in the connection."""
        if self._busy:
            return False
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                if not self._ends[1]:
                    await self.send_eof()
                left = _LAST_BYTES
                while left > 0:
                    left -= len(await self.receive())
        except anyio.EndOfStream:
            return all(self._ends) and not self._held
        except UNREACHED:
            pass
        return False


class _Network(httpcore2.AsyncNetworkStream):
    """A stream of bytes as the HTTP client wants it."""

    def __init__(self, stream: ByteStream | TLSStream) -> None:
        self._stream = stream
        self._held = bytearray()
        """What is sent before anything is read."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await self._flush(timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Head and body of a request go together: each part by itself is encrypted twice, and copied thrice.
        self._held += buffer
        if len(self._held) >= _MOST_HELD:
            await self._flush(timeout)

    async def _flush(self, timeout: float | None) -> None:
        if self._held:
            held, self._held = bytes(self._held), bytearray()
            async with asyncio.timeout(timeout):
                await self._stream.send(held)

    async def aclose(self) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        try:
            with anyio.fail_after(timeout or _CONNECT_SECONDS):
                wrapped = await TLSStream.wrap(
                    self._stream,
                    ssl_context=ssl_context,
                    hostname=server_hostname,
                    standard_compatible=False,
                    server_side=False,
                )
        except BaseException:
            # Nobody else has it yet.
            await self.aclose()
            raise
        return _Network(wrapped)

    def get_extra_info(self, info: str) -> Any:
        """Whether a connection that is kept can be read: then it has ended, and is of no use any more."""
        if info != "is_readable":
            return None
        held = False
        stream: Any = self._stream
        while isinstance(stream, TLSStream | Tunnel):
            held = held or (isinstance(stream, Tunnel) and stream.holds)
            stream = stream.transport_stream
        raw = stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - no query
        if held or raw is None or raw.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(raw.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class Proxied(httpcore2.AsyncNetworkBackend):
    """Dials through the egress proxy."""

    def __init__(self, proxy: EgressProxy, ticket: Ticket, problem: Problem) -> None:
        self._proxy, self._ticket, self.problem = proxy, ticket, problem
        self._ahead: dict[tuple[str, int], asyncio.Task[httpcore2.AsyncNetworkStream]] = {}

    def dial(self, host: str, port: int) -> None:
        """Begins to connect to a server: whoever asks for a connection there first has this one."""
        self._ahead[host, port] = asyncio.create_task(self._dialled(host, port))

    async def aclose(self) -> None:
        """Gives back what was dialled and asked for by nobody."""
        while self._ahead:
            _, dialled = self._ahead.popitem()
            dialled.cancel()
            (found,) = await asyncio.gather(dialled, return_exceptions=True)
            if isinstance(found, httpcore2.AsyncNetworkStream):
                await found.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a server; raises a Problem, as nothing was sent yet."""
        ahead = self._ahead.pop((host, port), None)
        return await (self._dialled(host, port) if ahead is None else ahead)

    async def _dialled(self, host: str, port: int) -> httpcore2.AsyncNetworkStream:
        try:
            with anyio.fail_after(_CONNECT_SECONDS):
                try:
                    return await self._connect(host, port)
                except UNREACHED:
                    return await self._connect(host, port, fresh=True)  # what was held ready may have ended
        except UNREACHED as error:
            message = f"the egress proxy cannot be reached: {error or type(error).__name__}"
            raise self.problem(message, passes=True, sent=False) from None

    async def _connect(self, host: str, port: int, *, fresh: bool = False) -> httpcore2.AsyncNetworkStream:
        stream = await self._proxy.connect(fresh=fresh)
        ticket, there = self._ticket, f"{host}:{port}"
        head = (
            f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\nProxy-Authorization: Bearer {ticket.token}\r\n"
            f"Citadel-Attempt: {ticket.step}/{ticket.attempt}\r\n\r\n"
        )
        try:
            await stream.send(head.encode())
            answer = b""
            while b"\r\n\r\n" not in answer and len(answer) < _HEAD_LIMIT:
                answer += await stream.receive()
            said, _, rest = answer.partition(b"\r\n\r\n")
            status = said.split(b" ", 2)[1]
            if status == b"200":
                return _Network(Tunnel(self._proxy, stream, rest))
            said_why = await _read_rest(stream, rest)
            raise self.problem(f"egress: {said_why}", passes=int(status) >= 500, sent=False)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


async def _read_rest(stream: ByteStream | TLSStream, said: bytes) -> str:
    """Why the proxy refuses."""
    try:
        while len(said) < _HEAD_LIMIT:
            said += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
        pass  # the proxy closes when it has said why
    return said.decode("utf-8", "replace")
