"""Timers: what is due is advanced once, by whoever takes it, and what cannot be advanced stops nobody."""

import asyncio
import time

import pytest

import build
from build import begin, only_sandbox
from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.store.journal import CorruptJournal, ExecutionRef
from citadel.store.memory import MemoryJournal


async def test_a_retry_comes_when_it_is_due(store) -> None:
    journal = store.open().journal
    backoff = {"initial": "100ms", "factor": 1, "max": "100ms"}
    definition = build.chain(1, retry={"attempts": 2, "backoff": backoff})
    sandbox = only_sandbox(await begin(journal, definition))
    failed = await journal.advance("uid-1", [build.failed("s0", sandbox)], claim=sandbox)
    assert failed.step is None
    deadline = time.monotonic() + 10
    while (again := await journal.advance("uid-1", claim=sandbox)).step is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert again.state.steps["s0"].attempt == 2


async def test_an_execution_past_its_deadline_ends_without_any_fact(store) -> None:
    journal = store.open().journal
    advance = await begin(journal, build.definition(build.python_step("a"), timeout="1s"))
    deadline = time.monotonic() + 10
    while "uid-1" not in await journal.due(10) or (await journal.read("uid-1")).finished is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    state = await journal.read("uid-1")
    assert state.finished is not None
    assert state.finished.phase == "TimedOut"
    assert state.steps["a"].status is StepStatus.CANCELLED
    row = await store.open().sandboxes.get(only_sandbox(advance))
    assert row is not None
    assert (row.status, row.immediate) == ("draining", True)
    assert await journal.due(10) == []


async def test_memory_keeps_time_by_the_clock_it_is_given() -> None:
    now = 1000.0
    journal = MemoryJournal(lambda: now)
    await begin(journal, build.definition(build.python_step("a"), timeout="60s"))
    assert await journal.due(10) == []
    now = 1060.0
    assert await journal.due(10) == ["uid-1"]
    assert (await journal.read("uid-1")).finished_at == 1060.0


async def test_two_workers_share_what_is_due(sql_store) -> None:
    one, other = sql_store.open().journal, sql_store.open().journal
    uids = [f"uid-{number:02}" for number in range(20)]
    for uid in uids:
        await begin(one, build.definition(build.python_step("a"), timeout="1h"), uid)
    await sql_store.sql("UPDATE executions SET wake_at = 1")
    taken = await asyncio.gather(one.due(100), other.due(100))
    assert sorted(taken[0] + taken[1]) == uids
    assert await one.due(100) == []
    rows = await sql_store.sql("SELECT count(*) FROM executions WHERE wake_at > created_at + 3599")
    assert rows[0][0] == 20


async def test_what_has_waited_longest_is_taken_first(sql_store) -> None:
    journal = sql_store.open().journal
    for number in range(4):
        await begin(journal, build.definition(build.python_step("a"), timeout="1h"), f"uid-{number}")
        await sql_store.sql(
            "UPDATE executions SET wake_at = :at WHERE uid = :uid", at=9 - number, uid=f"uid-{number}"
        )
    assert await journal.due(2) == ["uid-3", "uid-2"]
    assert await journal.due(2) == ["uid-1", "uid-0"]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("UPDATE events SET kind = 'Unheard' WHERE uid = 'poison' AND seq = 2", "event 1 or one after it"),
        ("UPDATE events SET data = '{}' WHERE uid = 'poison' AND seq = 2", "event 1 or one after it"),
        ("DELETE FROM events WHERE uid = 'poison' AND seq = 2", "found .* events, expected"),
        ("UPDATE definitions SET body = '{\"spec\": 1}'", "does not compile in this version"),
    ],
)
async def test_an_execution_that_cannot_be_read_stops_no_other(sql_store, damage: str, why: str) -> None:
    journal = sql_store.open().journal
    await begin(journal, build.chain(2), "poison")
    healthy = build.definition(build.python_step("a"), timeout="1h")
    await begin(journal, healthy, "healthy")
    if "definitions" in damage:
        damage += f" WHERE digest = '{build.pinned(build.chain(2))}'"
    await sql_store.sql(damage)
    await sql_store.sql("UPDATE executions SET wake_at = CASE uid WHEN 'poison' THEN 1 ELSE 2 END")
    fresh = sql_store.open().journal
    assert await fresh.due(10) == ["healthy"]
    assert await fresh.due(10) == []
    with pytest.raises(CorruptJournal, match=f"execution poison: .*{why}"):
        await fresh.read("poison")
    ((wait,),) = await sql_store.sql("SELECT wake_at - created_at FROM executions WHERE uid = 'poison'")
    assert 50 < wait < 70


async def test_executions_that_have_not_ended_are_known(store) -> None:
    journal = store.open().journal
    for uid in ("a", "b"):
        await begin(journal, build.chain(1), uid)
    await journal.advance("a", [ev.StopRequested("Terminate", "Deleted", "deleted")])
    assert await journal.unfinished() == [ExecutionRef("b", "team", "run")]


async def test_what_is_forgotten_is_gone(store) -> None:
    journal = store.open().journal
    for uid in ("a", "b"):
        await begin(journal, build.chain(1), uid)
    await journal.forget(["a", "unknown"])
    assert [row.uid for row in await store.open().sandboxes.open()] == ["b"]
    assert [ref.uid for ref in await journal.unfinished()] == ["b"]
    with pytest.raises(LookupError):
        await journal.read("a")


async def test_only_what_finished_long_ago_is_pruned(sql_store) -> None:
    journal = sql_store.open().journal
    for number, uid in enumerate(("old", "young", "running")):
        await begin(journal, build.chain(number + 1), uid)
    for uid in ("old", "young"):
        await journal.advance(uid, [ev.StopRequested("Terminate", "Terminated", "enough")])
    await sql_store.sql("UPDATE executions SET finished_at = 1 WHERE uid = 'old'")
    assert await journal.prune(86400.0) == 1
    assert await journal.prune(86400.0) == 0
    assert await sql_store.sql("SELECT uid FROM executions ORDER BY uid") == [("running",), ("young",)]
    assert await sql_store.sql("SELECT count(*) FROM definitions") == [(2,)]
    assert await sql_store.sql("SELECT count(*) FROM events WHERE uid = 'old'") == [(0,)]
