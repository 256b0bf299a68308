"""Rows of approvals follow from the log, in its transactions; signals wait in a table of their own."""

import asyncio
import time
from typing import Any

import pytest

import build
from citadel.core import events as ev
from citadel.core.values import Inline
from citadel.store.journal import ExecutionUnknown, Notice
from citadel.store.signals import SignalRow
from citadel.store.sql.database import Database
from component.store.conftest import Store
from component.store.test_notices import ear


def asks(name: str = "ok", **fields: Any) -> dict[str, Any]:
    """A step that asks ann."""
    approval = {"approvers": {"users": ["ann"]}, **fields.pop("approval", {})}
    return {"name": name, "approval": approval, "with": {"total": 5}, **fields}


async def begun(database: Database, *steps: dict[str, Any], uid: str = "uid-1", **spec: Any) -> None:
    definition = build.definition(*steps, **spec)
    await database.journal.advance(uid, [build.created(uid, definition)], definition=definition)


def decided(approved: bool = True, step: str = "ok", reason: str = "fine") -> ev.ApprovalDecided:
    return ev.ApprovalDecided(step, approved, "ann", reason, Inline(None), 5.0)


async def test_a_step_that_asks_has_a_row_that_tells_what_became_of_it(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, asks(timeout="1h"))
    (row,) = await database.approvals.pending()
    assert (row.uid, row.step, row.namespace, row.object) == ("uid-1", "ok", "team", None)
    assert row.deadline is not None
    assert 3590 < row.deadline - row.opened_at <= 3600
    assert row.name.startswith("run-ok-")
    await database.approvals.made(row, "object-1")
    await database.journal.advance("uid-1", [decided()])
    assert await database.approvals.pending() == []
    ended = await database.approvals.get("team", row.name)
    assert ended is not None
    assert (ended.phase, ended.decided_by, ended.reason) == ("Approved", "ann", "fine")
    assert ended.object == "object-1"
    assert ended.ended_at is not None


async def test_a_reason_that_no_database_takes_is_mended(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, asks())
    state = (await database.journal.advance("uid-1", [decided(False, reason="no\0 \ud83d")])).state
    assert state.finished is not None
    assert state.finished.message == "step ok: ann rejected it: no\ufffd \ufffd"


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        ([decided(False)], "Rejected"),
        ([ev.StopRequested("Cancel", "Cancelled", "enough")], "Cancelled"),
        ([ev.StopRequested("Terminate", "Terminated", "enough")], "Cancelled"),
        ([decided(), ev.StopRequested("Terminate", "Terminated", "enough")], "Approved"),
    ],
    ids=["rejected", "cancelled", "terminated", "approved and then terminated"],
)
async def test_an_approval_ends_with_its_step(sql_store: Store, facts: list[ev.Event], phase: str) -> None:
    database = sql_store.database()
    await begun(database, asks(), build.python_step("after"))
    (row,) = await database.approvals.pending()
    for fact in facts:
        await database.journal.advance("uid-1", [fact])
    ended = await database.approvals.get("team", row.name)
    assert ended is not None
    assert ended.phase == phase


@pytest.mark.parametrize("on_timeout", ["fail", "approve"])
async def test_an_approval_that_nobody_decides_expires(sql_store: Store, on_timeout: str) -> None:
    database = sql_store.database()
    await begun(database, asks(timeout="50ms", onTimeout=on_timeout))
    (row,) = await database.approvals.pending()
    deadline = time.monotonic() + 10
    while "uid-1" not in await database.journal.due(10):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    ended = await database.approvals.get("team", row.name)
    assert ended is not None
    assert (ended.phase, ended.decided_by) == ("Expired", None)
    # Too late: the first end is the end.
    assert not (await database.journal.advance("uid-1", [decided()])).events
    assert await database.approvals.get("team", row.name) == ended


async def test_each_turn_of_a_loop_asks_by_itself(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, asks(forEach={"items": ["x", "y"]}))
    rows = await database.approvals.pending()
    assert [row.step for row in rows] == ["ok[0]", "ok[1]"]
    assert len({row.name for row in rows}) == 2
    await database.journal.advance("uid-1", [decided(step="ok[1]")])
    assert [row.step for row in await database.approvals.pending()] == ["ok[0]"]


async def test_a_step_that_waits_for_something_else_has_no_row(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, {"name": "paid", "wait": {"signal": "payment"}})
    assert await database.approvals.pending() == []


async def test_whoever_keeps_approvals_and_delivers_signals_is_told(postgres_store: Store) -> None:
    database = postgres_store.database()
    async with ear(postgres_store, database.journal) as listener:
        await begun(database, asks())
        (row,) = await database.approvals.pending()
        assert await listener.hears(Notice("approval", f"team/{row.name}"))
        await database.signals.send(PAID)
        assert await listener.hears(Notice("signal", "uid-1"))


PAID = SignalRow("uid-1", "payment", "k1", {"amount": 12.5})


async def test_a_signal_waits_until_it_is_delivered_and_is_kept_once(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, build.python_step("a"))
    await database.signals.send(PAID)
    await database.signals.send(SignalRow("uid-1", "payment", "k1", "again"))
    await database.signals.send(SignalRow("uid-1", "refund", "k1", None))
    assert await database.signals.waiting() == ["uid-1"]
    found = await database.signals.of("uid-1")
    assert found == [PAID, SignalRow("uid-1", "refund", "k1", None)]
    assert found[0].id != found[1].id
    await database.signals.delivered(PAID)
    await database.signals.delivered(PAID)
    assert [row.name for row in await database.signals.of("uid-1")] == ["refund"]


async def test_an_execution_that_the_journal_does_not_know_takes_no_signal(sql_store: Store) -> None:
    with pytest.raises(ExecutionUnknown):
        await sql_store.database().signals.send(PAID)


async def test_signals_end_with_their_execution(sql_store: Store) -> None:
    database = sql_store.database()
    await begun(database, asks())
    await database.signals.send(PAID)
    await database.journal.forget(["uid-1"])
    assert await database.signals.waiting() == []
    assert await database.approvals.pending() == []
