"""The connection to the egress proxy that is opened ahead."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from citadel.calls import proxy as proxy_module
from citadel.calls.dialling import Proxied, Ticket
from citadel.calls.exchanges import ToolError, problem
from citadel.calls.proxy import EgressProxy
from component.proxying import Certificates


class Proxy:
    """A proxy that grants every tunnel, and can be told to cut what is open."""

    def __init__(self) -> None:
        self.open: list[asyncio.StreamWriter] = []
        self.accepted, self.news, self.ended = 0, asyncio.Condition(), asyncio.Event()
        self.refuses = False
        self.tasks: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        self.open.append(writer)
        async with self.news:
            self.accepted += 1
            self.news.notify_all()
        try:
            if not self.refuses and await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self.ended.set()

    def cut(self) -> None:
        while self.open:
            self.open.pop().transport.abort()

    async def until(self, accepted: int) -> None:
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: self.accepted >= accepted)


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[tuple[Proxy, EgressProxy]]:
    tls = Certificates.make(tmp_path, "proxy.example.com")
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls.server)
    found = EgressProxy("localhost", server.sockets[0].getsockname()[1], tls.client)
    yield proxy, found
    found.close()
    server.close()
    proxy.cut()
    await asyncio.gather(*(task for task in proxy.tasks if task is not None))


async def dialled(by: EgressProxy) -> None:
    stream = await Proxied(by, Ticket("t", "a", 1), problem).connect_tcp("x.example.com", 443)
    await stream.aclose()


async def test_the_next_connection_is_open_before_it_is_wanted(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    for used in range(1, 4):
        await dialled(by)
        await proxy.until(used + 1)
    assert proxy.accepted == 4


async def test_one_that_has_ended_meanwhile_is_not_used(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    await dialled(by)
    await proxy.until(2)
    proxy.cut()
    await dialled(by)


async def test_a_proxy_that_cuts_every_connection_is_told_as_one_that_cannot_be_reached(
    there: tuple[Proxy, EgressProxy],
) -> None:
    proxy, by = there
    proxy.refuses = True
    with pytest.raises(ToolError, match="the egress proxy cannot be reached") as failed:
        await dialled(by)
    assert not failed.value.sent
    assert proxy.accepted < 6


async def test_what_nobody_wants_is_closed(
    there: tuple[Proxy, EgressProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, by = there
    monkeypatch.setattr(proxy_module, "HELD_SECONDS", 0.05)
    stream = await by.connect()
    await proxy.until(2)
    async with asyncio.timeout(10):
        await proxy.ended.wait()
    await anyio.aclose_forcefully(stream)
    assert proxy.accepted == 2
