"""The database goes away and comes back: every call says so in time, and nothing committed is lost."""

import asyncio
import time

import pytest

import build
from build import begin, only_sandbox
from citadel.store.journal import JournalUnavailable, LogChunk, Notice
from citadel.store.sql.database import open_database


async def test_a_database_that_stops_and_starts(postgres_server, postgres_store) -> None:
    process = postgres_store.open()
    journal, sandboxes = process.journal, process.sandboxes
    database = postgres_store.database()
    advance = await begin(journal, build.chain(2))
    sandbox = only_sandbox(advance)
    await database.ping()
    heard: list[Notice] = []

    async def listen() -> None:
        async for notice in postgres_store.open().journal.listen():
            heard.append(notice)

    listening = asyncio.create_task(listen())
    fact = build.succeeded("s0", sandbox)
    await asyncio.to_thread(postgres_server.stop)
    try:
        calls = {
            "advance": lambda: journal.advance("uid-1", [fact]),
            "read": lambda: journal.read("uid-1"),
            "due": lambda: journal.due(1),
            "logs": lambda: journal.append_logs("uid-1", [LogChunk("s0", 1, 0, "stdout", "", "x")]),
            "open": sandboxes.open,
            "register": lambda: sandboxes.register(sandbox, "pod", "hash", "key"),
            "ping": database.ping,
        }
        for name, call in calls.items():
            start = time.monotonic()
            with pytest.raises(JournalUnavailable, match="database is not available"):
                await call()
            assert time.monotonic() - start < 10, name
    finally:
        await asyncio.to_thread(postgres_server.start)
    done = await journal.advance("uid-1", [fact], claim=sandbox)
    assert (done.accepted, done.step) == ((True,), "s1")
    assert await postgres_store.open().journal.read("uid-1") == done.state
    await database.ping()
    deadline = time.monotonic() + 15
    number = 0
    while Notice("log", "uid-1") not in heard:
        assert time.monotonic() < deadline
        await journal.append_logs("uid-1", [LogChunk("s0", 1, number, "stdout", "", "x")])
        number += 1
        await asyncio.sleep(0.05)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_connection_that_died_in_the_pool_is_replaced_without_anybody_noticing(
    postgres_store,
) -> None:
    journal = postgres_store.open().journal
    advance = await begin(journal, build.chain(2))
    await postgres_store.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid != pg_backend_pid()"
    )
    done = await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance))])
    assert done.accepted == (True,)


async def test_nobody_listens_where_the_database_should_be() -> None:
    database = open_database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(JournalUnavailable):
        await database.ping()
    await database.close()


async def test_a_database_without_our_schema_is_not_ready(postgres_server) -> None:
    name = postgres_server.create_database()
    database = open_database(postgres_server.url(name))
    with pytest.raises(JournalUnavailable, match="executions"):
        await database.ping()
    await database.close()
    postgres_server.drop_database(name)


async def test_a_row_that_stays_locked_is_given_up_in_time(
    postgres_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = postgres_store.open().journal
    advance = await begin(journal, build.chain(2))
    database = postgres_store.database()
    await database.ping()
    monkeypatch.setattr("citadel.store.sql.engine.CALL_SECONDS", 0.5)
    async with database._connections._connected(transaction=True) as busy:
        await busy.execute(database.journal._statements.lock, {"of_uid": "uid-1"})
        with pytest.raises(JournalUnavailable, match="did not answer within"):
            # It has nothing to write, and waits all the same: what it would decide by may be changing.
            await journal.advance("uid-1", claim=only_sandbox(advance))
    done = await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance))])
    assert done.accepted == (True,)
