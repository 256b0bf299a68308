"""Connections that are kept: so many and no more, and none that nobody knows the state of."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from citadel.store.journal import JournalUnavailable
from citadel.store.sql.engine import Connection, Connections, make_engine, parse_url

SIZE = 2
PID = text("SELECT pg_backend_pid()")


@pytest.fixture
async def connections(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connections]:
    monkeypatch.setattr("citadel.store.sql.engine.POOL_SECONDS", 0.2)
    found = Connections(make_engine(parse_url(postgres_url)), SIZE)
    yield found
    await found.close()


async def pid_of(connection: Connection) -> int:
    return int((await connection.execute(PID)).scalar_one())


async def holding(connections: Connections, count: int, until: asyncio.Event) -> "asyncio.Future[list[int]]":
    """So many that hold a connection at the same time, and begin to do so: which ones."""
    held = asyncio.Barrier(count + 1)

    async def work(connection: Connection) -> int:
        found = await pid_of(connection)
        await held.wait()
        await until.wait()
        return found

    found = asyncio.gather(*(connections.read(work) for _ in range(count)))
    await held.wait()
    return found


async def test_the_connection_that_was_used_last_is_used_next(connections: Connections) -> None:
    go = asyncio.Event()
    go.set()
    both = await (await holding(connections, SIZE, go))
    assert len(set(both)) == SIZE
    again = [await connections.read(pid_of) for _ in range(5)]
    assert len(set(again)) == 1
    assert set(again) <= set(both)


async def test_when_all_are_busy_the_next_one_waits_and_is_told_in_time(connections: Connections) -> None:
    go = asyncio.Event()
    busy = await holding(connections, SIZE, go)
    with pytest.raises(JournalUnavailable, match="all connections to the database are busy"):
        await connections.read(pid_of)
    waiting = asyncio.create_task(connections.read(pid_of))
    go.set()
    assert await waiting in await busy


async def test_many_more_than_there_is_room_for_all_have_their_turn(connections: Connections) -> None:
    found = await asyncio.gather(*(connections.read(pid_of) for _ in range(50)))
    assert len(set(found)) == SIZE


async def test_whoever_gives_up_waiting_takes_no_room(connections: Connections) -> None:
    go = asyncio.Event()
    busy = await holding(connections, SIZE, go)
    for _ in range(10):
        waiting = asyncio.create_task(connections.read(pid_of))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    go.set()
    await busy
    assert len(set(await (await holding(connections, SIZE, go)))) == SIZE


async def test_a_connection_whose_work_was_cancelled_is_not_used_again(connections: Connections) -> None:
    found: list[int] = []
    began = asyncio.Event()

    async def work(connection: Connection) -> Any:
        found.append(await pid_of(connection))
        began.set()
        await connection.execute(text("SELECT pg_sleep(60)"))

    doing = asyncio.create_task(connections.read(work))
    await began.wait()
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    assert await connections.read(pid_of) not in found


async def test_when_one_is_found_dead_the_others_are_not_tried_one_by_one(connections: Connections) -> None:
    go = asyncio.Event()
    go.set()
    before = await (await holding(connections, SIZE, go))
    other = Connections(make_engine(parse_url(str(connections.engine.url.render_as_string(False)))), 1)
    await other.read(lambda found: found.execute(text(f"SELECT pg_terminate_backend({before[0]})")))
    await other.read(lambda found: found.execute(text(f"SELECT pg_terminate_backend({before[1]})")))
    await other.close()
    tries = 0

    async def work(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        return await pid_of(connection)

    assert await connections.read(work) not in before
    assert tries == 2
