"""Logs on their way into the journal: in order, once, and only from who was given the attempt."""

import pytest

from build import chain
from citadel.gateway import reports
from component.gateway.conftest import Site


async def stored(site: Site, uid: str = "uid-1") -> list[tuple[str, int, int, str]]:
    chunks = await site.database.journal.logs(uid, {}, 1000)
    return [(chunk.step, chunk.attempt, chunk.n, chunk.text or chunk.stream) for chunk in chunks]


async def test_chunks_are_stored_once_however_often_they_come(site: Site) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.log("s0", "a", "b")).body == {"stored": 1}
    assert (await runner.log("s0", "a", "b")).body == {"stored": 1}
    assert (await runner.log("s0", "other", "c", start=1)).body == {"stored": 2}
    assert (await runner.log("s0", last=True)).body == {"stored": -1}
    assert await stored(site) == [
        ("s0", 1, 0, "a"),
        ("s0", 1, 1, "b"),
        ("s0", 1, 2, "c"),
        ("s0", 1, 2**31 - 1, "end"),
    ]


async def test_logs_may_follow_their_result_and_the_execution(site: Site) -> None:
    runner = await site.registered(chain(1))
    await runner.log("s0", "before")
    await runner.succeed("s0")
    assert (await runner.log("s0", "after", start=1, last=True)).status == 200
    assert [text for *_, text in await stored(site)] == ["before", "after", "end"]


async def test_logs_of_an_attempt_that_is_anothers_are_refused(site: Site) -> None:
    mine = await site.registered(chain(2), "uid-1")
    other = await site.registered(chain(2), "uid-2")
    await other.succeed("s0")
    for step, attempt in (("s1", 1), ("s0", 2), ("nonsense", 1)):
        assert (await mine.log(step, "x", attempt=attempt)).refused == (409, "Superseded")
    assert await stored(site, "uid-1") == await stored(site, "uid-2") == []


async def test_text_that_no_database_takes_is_mended(site: Site) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.log("s0", "a\0b", "c\ud800d")).status == 200
    assert [text for *_, text in await stored(site)] == ["a\N{REPLACEMENT CHARACTER}b", "c?d"]


async def test_a_chunk_without_a_number_is_refused(site: Site) -> None:
    runner = await site.registered(chain(1))
    for number in (True, -1, 2**31 - 1, 2**40, "0", None):
        body = {"chunks": [{"n": number, "stream": "stdout", "at": "", "text": "x"}], "last": False}
        assert (await runner.post("/v1/attempts/s0/1/logs", body)).refused == (400, "BadRequest")
    assert await stored(site) == []


async def test_an_attempt_cannot_fill_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LOG_LIMIT", 100_000)
    runner = await site.registered(chain(2))
    answers = [await runner.log("s0", "x" * 60_000, start=number) for number in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 413, 413]
    await runner.succeed("s0")
    assert (await runner.log("s1", "the next attempt's", last=True)).status == 200
