"""Connections to the egress proxy: each carries tunnel after tunnel, while they end in order."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpcore2 import AsyncNetworkStream

from citadel.calls import dialling as dialling_module
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
        self.refuses, self.keeps_open = False, False
        self.tunnels = 0
        self.tasks: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        self.open.append(writer)
        async with self.news:
            self.accepted += 1
            self.news.notify_all()
        try:
            while not self.refuses and await reader.readuntil(b"\r\n\r\n"):
                self.tunnels += 1
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n" + frame(b"hello"))
                while size := int.from_bytes(await reader.readexactly(2)):
                    await reader.readexactly(size)
                if not self.keeps_open:
                    writer.write(frame(b"bye") + frame(b""))
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
    await found.aclose()
    server.close()
    proxy.cut()
    await asyncio.gather(*(task for task in proxy.tasks if task is not None))


def frame(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


async def opened(by: EgressProxy) -> AsyncNetworkStream:
    return await Proxied(by, Ticket("t", "a", 1), problem).connect_tcp("x.example.com", 443)


async def dialled(by: EgressProxy) -> None:
    """One tunnel, from its beginning until its connection was taken back."""
    stream = await opened(by)
    assert await stream.read(5, 10) == b"hello"
    await stream.aclose()
    await taken_back(by)


async def taken_back(by: EgressProxy) -> None:
    while by._tasks:
        await asyncio.gather(*by._tasks)


async def test_a_connection_carries_one_tunnel_after_another(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    for _ in range(3):
        await dialled(by)
    assert (proxy.accepted, proxy.tunnels) == (1, 3)


async def test_tunnels_at_a_time_have_connections_of_their_own(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    streams = [await opened(by) for _ in range(proxy_module.MOST_HELD + 1)]
    for stream in streams:
        await stream.aclose()
    await taken_back(by)
    assert proxy.accepted == proxy_module.MOST_HELD + 1
    assert len(by._held) == proxy_module.MOST_HELD


async def test_one_that_has_ended_meanwhile_is_not_used(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    first, second = await opened(by), await opened(by)
    await first.aclose()
    await second.aclose()
    await taken_back(by)
    proxy.cut()
    await dialled(by)
    assert proxy.accepted == 3


async def test_what_was_dialled_ahead_is_the_first_connection_there(there: tuple[Proxy, EgressProxy]) -> None:
    proxy, by = there
    way = Proxied(by, Ticket("t", "a", 1), problem)
    way.dial("x.example.com", 443)
    streams = [await way.connect_tcp("x.example.com", 443) for _ in range(2)]
    assert [await stream.read(5, 10) for stream in streams] == [b"hello"] * 2
    assert proxy.tunnels == 2
    for stream in streams:
        await stream.aclose()
    await way.aclose()


@pytest.mark.parametrize("done", [True, False], ids=["it stands", "it is under way"])
async def test_what_was_dialled_ahead_for_nobody_is_given_up(
    there: tuple[Proxy, EgressProxy], done: bool
) -> None:
    proxy, by = there
    way = Proxied(by, Ticket("t", "a", 1), problem)
    way.dial("x.example.com", 443)
    if done:
        await asyncio.wait(way._ahead.values())
    await way.aclose()
    await taken_back(by)
    assert not way._ahead
    await dialled(by)
    assert proxy.accepted == 1 if done else proxy.accepted <= 2


@pytest.mark.parametrize("how", ["the server goes on", "a read was broken off"])
async def test_a_tunnel_without_an_end_costs_its_connection(
    there: tuple[Proxy, EgressProxy], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    proxy, by = there
    monkeypatch.setattr(dialling_module, "_LAST_SECONDS", 0.05)
    proxy.keeps_open = how == "the server goes on"
    stream = await opened(by)
    assert await stream.read(5, 10) == b"hello"
    if how == "a read was broken off":
        with pytest.raises(TimeoutError):
            await stream.read(5, 0.05)
    await stream.aclose()
    await taken_back(by)
    async with asyncio.timeout(10):
        await proxy.ended.wait()
    # Another one is held ready.
    proxy.keeps_open = False
    await proxy.until(2)
    await dialled(by)
    assert proxy.accepted == 2


async def test_a_proxy_that_cuts_every_connection_is_told_as_one_that_cannot_be_reached(
    there: tuple[Proxy, EgressProxy],
) -> None:
    proxy, by = there
    proxy.refuses = True
    with pytest.raises(ToolError, match="the egress proxy cannot be reached") as failed:
        await opened(by)
    assert not failed.value.sent
    assert proxy.accepted == 2


async def test_what_nobody_wants_is_closed(
    there: tuple[Proxy, EgressProxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, by = there
    monkeypatch.setattr(proxy_module, "HELD_SECONDS", 0.05)
    await dialled(by)
    async with asyncio.timeout(10):
        await proxy.ended.wait()
    assert (proxy.accepted, by._held) == (1, [])
