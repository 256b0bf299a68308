"""Connections of sandboxes, each one request after another: read it, ask, resolve, check, dial, copy.

Bounded in every direction: connections in all and of one sandbox, time for each stage, bytes held for a slow
side. What a sandbox reads of a refusal is a status and one sentence.
"""

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections import Counter

from citadel.egress.asking import Answer, GatewayClient, Record
from citadel.egress.dialling import Dialler
from citadel.egress.frames import Frames
from citadel.egress.metrics import EgressMetrics
from citadel.egress.requests import END, HEAD_LIMIT, Refused, Request, parse
from citadel.egress.tls import BUFFER, TlsStream

log = logging.getLogger(__name__)

MOST = 4096
#: Of one sandbox: those that carry something, and those that its runner holds ready.
MOST_OF_ONE = 160
HANDSHAKE_SECONDS = 5.0
#: A runner opens a connection ahead; it may wait so long for the request.
HEAD_SECONDS = 120.0
IDLE_SECONDS = 3600.0
#: How often an open connection is asked for again: a policy may go, and an attempt ends.
AGAIN_SECONDS = 15.0
_STATUS = {
    400: "Bad Request", 403: "Forbidden", 405: "Method Not Allowed", 407: "Proxy Authentication Required",
    408: "Request Timeout", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


class Tunnels:
    """Serves connections; `accept` is a protocol factory."""

    def __init__(
        self, context: ssl.SSLContext, gateway: GatewayClient, dialler: Dialler, metrics: EgressMetrics
    ) -> None:
        self._context, self._gateway, self._dialler = context, gateway, dialler
        self._metrics = metrics
        self._open: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self) -> TlsStream:
        """A new connection, which is served from now on."""
        stream = TlsStream(self._context)
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stream

    async def close(self) -> None:
        """Cuts what is open, and waits until that is noted."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, stream: TlsStream) -> None:
        await stream.connected()
        peer = stream.peer
        self._open[peer] += 1
        try:
            # Before any work is done for it, TLS included.
            if len(self._tasks) <= MOST and self._open[peer] <= MOST_OF_ONE:
                await self._answer(stream)
            else:
                self._metrics.refused("limit")
        except OSError:
            pass  # the sandbox is gone, or speaks no TLS
        except Exception:
            log.exception("a connection failed")
        finally:
            self._open[peer] -= 1
            if self._open[peer] <= 0:
                del self._open[peer]
            stream.abort()

    async def _answer(self, stream: TlsStream) -> None:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await stream.handshake()
        try:
            while await self._tunnel(stream, await _request(stream)):
                pass
        except Refused as refused:
            self._metrics.refused(str(refused.status))
            reason = refused.reason.encode("ascii", "replace")[:1000]
            head = f"HTTP/1.1 {refused.status} {_STATUS[refused.status]}\r\nContent-Length: {len(reason)}\r\n"
            await stream.write(f"{head}Connection: close\r\n\r\n".encode() + reason)
            await stream.send_eof()
            stream.close()

    async def _tunnel(self, stream: TlsStream, request: Request) -> bool:
        """Carries one connection; whether another request may follow it."""
        began, at = time.monotonic(), time.time()
        answer = await self._gateway.ask(request)
        record = Record(
            id=secrets.token_hex(16),
            uid=answer.uid,
            step=request.step,
            attempt=request.attempt,
            sandbox=answer.sandbox,
            at=at,
            host=request.host,
            port=request.port,
        )
        try:
            if not answer.allowed:
                raise Refused(403 if answer.uid else 407, answer.reason)
            addresses = await self._dialler.addresses(request.host, request.port, answer.private)
            dialled, record.address = await self._dialler.dial(addresses, request.port)
        except Refused as refused:
            record.verdict, record.reason, record.seconds = "refused", refused.reason[:500], 0.0
            self._report(record)
            raise
        try:
            # At once: what stands below it is done while the answer is on its way.
            await stream.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            reader, writer = await asyncio.open_connection(sock=dialled, limit=BUFFER)
        except BaseException:
            dialled.close()
            raise
        self._metrics.opened(time.monotonic() - began)
        self._report(record)
        frames = Frames(stream)
        try:
            await self._copy(frames, reader, writer, request, record)
            return frames.ended
        finally:
            record.seconds = time.monotonic() - began
            self._report(record)
            self._metrics.closed(record.sent, record.received)
            writer.transport.abort()

    def _report(self, record: Record) -> None:
        # Of what no sandbox asked for nobody could be told.
        if record.uid:
            self._gateway.report(record)

    async def _copy(
        self,
        frames: Frames,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: Request,
        record: Record,
    ) -> None:
        """Copies until both directions have ended, one is cut, nothing comes, or it is allowed no more."""
        progress = [time.monotonic()]

        async def out() -> None:
            while data := await frames.read():
                writer.write(data)
                await writer.drain()
                record.sent += len(data)
                progress[0] = time.monotonic()
            writer.write_eof()

        async def back() -> None:
            while data := await reader.read(BUFFER):
                await frames.write(data)
                record.received += len(data)
                progress[0] = time.monotonic()
            await frames.send_eof()

        both = [asyncio.create_task(out()), asyncio.create_task(back())]
        pending = set(both)
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=AGAIN_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                )
                if any(task.exception() for task in done):
                    return
                if pending and (why := await self._why_cut(request, progress[0])):
                    record.reason = why
                    return
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _why_cut(self, request: Request, progress: float) -> str | None:
        if time.monotonic() - progress > IDLE_SECONDS:
            return f"cut: nothing came for {IDLE_SECONDS:.0f} s"
        answer: Answer | None = None
        # A gateway that is away ends nothing.
        with contextlib.suppress(Refused):
            answer = await self._gateway.ask(request)
        return f"cut: {answer.reason}" if answer is not None and not answer.allowed else None


async def _request(stream: TlsStream) -> Request:
    """The request that a connection begins with; raises Refused."""
    head = b""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while END not in head and len(head) <= HEAD_LIMIT:
                data = await stream.read()
                if not data:
                    raise ConnectionResetError("the connection ended before its request")
                head += data
    except TimeoutError:
        raise Refused(408, f"no request came within {HEAD_SECONDS:.0f} s") from None
    return parse(head)
