"""Logs: each chunk once, in order, and a follower gets what it has not seen."""

import pytest

import build
from build import begin
from citadel.store.journal import ExecutionUnknown, LogChunk

AT = "2026-01-01T00:00:00Z"


def chunk(step: str, n: int, text: str = "", attempt: int = 1, stream: str = "stdout") -> LogChunk:
    return LogChunk(step, attempt, n, stream, AT, text or f"{step} {n}\n")


async def test_a_chunk_that_is_sent_twice_is_stored_once(store) -> None:
    journal = store.open().journal
    await begin(journal, build.chain(1))
    await journal.append_logs("uid-1", [chunk("s0", 0), chunk("s0", 1)])
    await journal.append_logs("uid-1", [chunk("s0", 1, "changed"), chunk("s0", 2)])
    await journal.append_logs("uid-1", [])
    assert [c.text for c in await journal.logs("uid-1", {}, 10)] == ["s0 0\n", "s0 1\n", "s0 2\n"]


async def test_a_follower_gets_what_it_has_not_seen(store) -> None:
    journal = store.open().journal
    await begin(journal, build.chain(2))
    await journal.append_logs("uid-1", [chunk("s0", 0), chunk("s0", 1)])
    await journal.append_logs("uid-1", [chunk("s0", 0, attempt=2), chunk("s1", 0), chunk("s0", 1, attempt=2)])
    everything = await journal.logs("uid-1", {}, 100)
    assert [(c.step, c.attempt, c.n) for c in everything] == [
        ("s0", 1, 0),
        ("s0", 1, 1),
        ("s0", 2, 0),
        ("s1", 0 + 1, 0),
        ("s0", 2, 1),
    ]
    seen: dict[tuple[str, int], int] = {}
    collected: list[LogChunk] = []
    while batch := await journal.logs("uid-1", seen, 2):
        collected += batch
        seen |= {(c.step, c.attempt): c.n for c in batch}
    assert collected == everything
    assert await journal.logs("uid-1", {("s0", 1): 0}, 1) == [chunk("s0", 1)]


async def test_whatever_bytes_a_program_prints_are_stored(store) -> None:
    journal = store.open().journal
    await begin(journal, build.chain(1))
    await journal.append_logs("uid-1", [chunk("s0", 0, "nul \0 half \ud83d end é")])
    assert [c.text for c in await journal.logs("uid-1", {}, 10)] == ["nul \ufffd half \ufffd end é"]


async def test_logs_of_an_unknown_execution_are_refused(store) -> None:
    with pytest.raises(ExecutionUnknown):
        await store.open().journal.append_logs("nobody", [chunk("s0", 0)])
    assert await store.open().journal.logs("nobody", {}, 10) == []


async def test_logs_do_not_wait_for_an_advance(postgres_store) -> None:
    journal = postgres_store.open().journal
    await begin(journal, build.chain(1))
    database = postgres_store.database()
    async with database._connections._connected(transaction=True) as busy:
        statement = database.journal._statements.lock
        await busy.execute(statement, {"of_uid": "uid-1"})
        await journal.append_logs("uid-1", [chunk("s0", 0)])
        assert len(await journal.logs("uid-1", {}, 10)) == 1
