"""What the gateway does not take: oversized, slow, too much at once, malformed."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from build import chain
from citadel.gateway import limits, routes
from citadel.gateway.limits import BODY_LIMIT
from citadel.limiting import CONNECTIONS
from component.gateway.conftest import Site


async def test_an_oversized_body_is_refused_and_the_next_request_served(site: Site) -> None:
    runner = await site.registered(chain(1))
    answer = await runner.succeed("s0", b"x" * (BODY_LIMIT + 1))
    assert answer.refused == (413, "TooLarge")
    assert (await runner.succeed("s0")).body["recorded"] is True


async def test_an_oversized_body_without_a_length_is_refused(site: Site) -> None:
    runner = await site.registered(chain(1))

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 2**16

    answer = await runner.post("/v1/attempts/s0/1/result?outcome=Succeeded", data=endless())
    assert answer.refused == (413, "TooLarge")


async def test_a_body_that_does_not_come_is_not_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.2)
    runner = await site.registered(chain(1))
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    slow_posts = [runner.post("/v1/heartbeat", data=slow()), runner.post("/v1/register", data=slow())]
    for answer in await asyncio.gather(*slow_posts):
        assert answer.refused == (408, "TooSlow")
    assert (await runner.poll()).step == "s0"


async def test_more_connections_than_a_sandbox_needs_are_cut_and_others_served(site: Site) -> None:
    runner = await site.registered(chain(1))
    host, port = runner.url.removeprefix("http://").split(":")
    greedy = [await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0)) for _ in range(40)]
    try:
        cut = [asyncio.create_task(reader.read()) for reader, _ in greedy]
        async with asyncio.timeout(15):
            while sum(task.done() for task in cut) < 40 - CONNECTIONS:
                await asyncio.wait(
                    [task for task in cut if not task.done()], return_when=asyncio.FIRST_COMPLETED
                )
        assert (await runner.poll()).step == "s0"
        assert sum(task.done() for task in cut) == 40 - CONNECTIONS
    finally:
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        for _, writer in greedy:
            writer.close()
    patient = await site.runner("cx-nobody-0", address="127.0.0.2")
    async with asyncio.timeout(15):
        while True:  # the closed connections are given back
            try:
                assert (await patient.poll()).status == 401
                return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)


async def test_who_asks_too_often_is_made_to_wait_and_nobody_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_BURST", 10.0)
    monkeypatch.setattr(limits, "REQUESTS_PER_SECOND", 1.0)
    greedy = await site.registered(chain(1), "uid-1")
    statuses = [(await greedy.poll()).status for _ in range(12)]
    assert (statuses[:10], statuses[-1]) == ([200] * 10, 429)
    other = await site.registered(chain(1), "uid-2")
    assert (await other.poll()).step == "s0"
    assert (await greedy.register()).status == 200
    assert (await greedy.poll()).status == 429  # registering again gives nothing back


async def test_paths_and_methods_outside_the_protocol_do_not_exist(site: Site) -> None:
    runner = await site.registered(chain(1))
    for method, path, status in (
        ("GET", "/v1/poll", 405),
        ("DELETE", "/v1/register", 405),
        ("POST", "/", 404),
        ("POST", "/v2/poll", 404),
        ("POST", "/v1/poll/", 404),
        ("POST", "/v1/attempts/s0/1/output", 404),
        ("POST", "/v1/attempts/0s/1/result", 404),
        ("POST", "/v1/attempts/s0/x/result", 404),
        ("POST", "/v1/attempts/s0/12345678/result", 404),
        ("POST", "/v1/attempts/../1/logs", 404),
    ):
        async with runner._session.request(method, runner.url + path, data=b"{}") as answer:
            assert (answer.status, path) == (status, path)
            assert (await answer.json())["error"]["message"]


async def test_what_is_no_session_is_refused(site: Site) -> None:
    runner = await site.registered(chain(1))
    name = runner.secret.partition(".")[0].encode()
    host, port = runner.url.removeprefix("http://").split(":")
    for header in (
        b"",
        b"Bearer ",
        b"Bearer .",
        b"Bearer nobody.secret",
        b"Bearer \xff\xfe.x",
        b"Bearer " + b"x" * 4000,
        b"Basic eDp5",
        b"Bearer " + name + b".",
        b"Bearer " + name + b".\xff",
        b"Bearer " + name + b"." + b"A" * 43,
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = b"POST /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: "
        writer.write(head + header + b"\r\n\r\n{}")
        status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert status.split()[1] in (b"401", b"400"), header
    assert (await runner.poll()).step == "s0"


async def test_strangers_cannot_keep_the_database_busy(site: Site) -> None:
    stranger = await site.runner("cx-nobody-0", address="127.0.0.2")
    stranger.secret = "cx-nobody-0.secret"
    statuses = [(await stranger.poll()).status for _ in range(150)]
    assert set(statuses) == {401, 429}
    async with asyncio.timeout(10):
        runner = await site.registered(chain(1))
        assert (await runner.poll()).step == "s0"
