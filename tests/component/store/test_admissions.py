"""Concurrency groups in every journal: never more than the limit, and first come, first served."""

import asyncio
import contextlib
from typing import Any

import pytest

import build
from citadel.controller.turns import Turns
from citadel.core import events as ev
from citadel.core.state import State
from citadel.store.journal import Journal, JournalUnavailable


def document(**concurrency: Any) -> build.Definition:
    return build.chain(1) | {"spec": {**build.chain(1)["spec"], "concurrency": concurrency}}


def asked(uid: str, doc: build.Definition, since: float | None = None, **more: Any) -> ev.Created:
    created = build.created(uid, doc, name=f"run-{uid}")
    return ev.Created(**{**created.__dict__, "since": since, **more})


async def begin(
    journal: Journal, uid: str, doc: build.Definition, since: float | None = None, **more: Any
) -> State:
    return (await journal.advance(uid, [asked(uid, doc, since, **more)], definition=doc)).state


async def end(journal: Journal, uid: str) -> None:
    await journal.advance(uid, [ev.StopRequested("Terminate", "Terminated", "over")])


def is_admitted(state: State) -> bool:
    return state.admission is not None and state.admission.admitted_at is not None


async def running(journal: Journal, *uids: str) -> str:
    """Those whose turn it is, once all that is due has happened."""
    while await journal.due(10):
        pass
    states = {uid: await journal.read(uid) for uid in uids}
    return "".join(uid for uid, state in states.items() if is_admitted(state) and state.finished is None)


async def test_they_run_one_after_another_in_the_order_they_were_asked_for(store: Any) -> None:
    journal, doc = store.open().journal, document()
    for number, uid in enumerate("abcd"):
        await begin(journal, uid, doc, since=100.0 - number)
    for expected in "adcb":
        assert await running(journal, *"abcd") == expected
        await end(journal, expected)
    assert await running(journal, *"abcd") == ""


async def test_within_one_second_they_run_in_the_order_they_came(store: Any) -> None:
    journal, doc = store.open().journal, document()
    for uid in "zyx":
        await begin(journal, uid, doc, since=100.0)
    for expected in "zyx":
        assert await running(journal, *"xyz") == expected
        await end(journal, expected)


async def test_several_begin_where_there_is_room_for_several(store: Any) -> None:
    journal, doc = store.open().journal, document(limit=2)
    await begin(journal, "a", document(limit=1))
    for uid in "bcde":
        await begin(journal, uid, doc, since=200.0)
    assert await running(journal, *"abcde") == "ab"
    await end(journal, "a")
    assert await running(journal, *"abcde") == "bc"
    await end(journal, "b")
    await end(journal, "c")
    assert await running(journal, *"abcde") == "de"


async def test_groups_of_others_are_nobodys_business(store: Any) -> None:
    journal = store.open().journal
    await begin(journal, "a", document(group="one"))
    await begin(journal, "b", document(group="two"))
    await begin(journal, "c", document(group="one"), namespace="other")
    await begin(journal, "d", document(group="one"), among="team/run")
    await begin(journal, "e", document(group="one"))
    assert await running(journal, *"abcde") == "abcd"


@pytest.mark.parametrize("how", ["stopped", "suspended", "forgotten"])
async def test_one_that_leaves_the_queue_holds_nobody_up(store: Any, how: str) -> None:
    journal, doc = store.open().journal, document()
    for uid in "abc":
        await begin(journal, uid, doc)
    if how == "stopped":
        await journal.advance("b", [ev.StopRequested("Cancel", "Cancelled", "no more")])
        assert (await journal.read("b")).finished is not None
    elif how == "suspended":
        await journal.advance("b", [ev.SuspendChanged(True, 2)])
    else:
        await journal.forget(["b"])
    await end(journal, "a")
    assert await running(journal, "a", "c") == "c"


async def test_the_first_that_is_suspended_lets_the_next_begin_and_has_its_place_when_it_goes_on(
    store: Any,
) -> None:
    journal = store.open().journal
    await begin(journal, "a", document(limit=2))
    await begin(journal, "b", document(limit=1))
    await begin(journal, "c", document(limit=2))
    assert await running(journal, *"abc") == "a"
    await journal.advance("b", [ev.SuspendChanged(True, 2)])
    assert await running(journal, *"abc") == "ac"
    await begin(journal, "d", document(limit=1))
    await journal.advance("b", [ev.SuspendChanged(False, 3)])
    await end(journal, "a")
    await end(journal, "c")
    assert await running(journal, *"abcd") == "b"


async def test_one_that_runs_keeps_its_place_while_it_is_suspended(store: Any) -> None:
    journal = store.open().journal
    await begin(journal, "a", document())
    await journal.advance("a", [ev.SuspendChanged(True, 2)])
    await begin(journal, "b", document())
    assert await running(journal, *"ab") == "a"


async def test_what_is_known_of_a_group(sql_store: Any) -> None:
    database = sql_store.database()
    for uid in "abcd":
        await begin(database.journal, uid, document(limit=2), since=float(ord(uid)))
    ticket = (await database.journal.read("d")).admission.ticket
    found = await database.admissions.standing(ticket)
    assert ([holder.name for holder in found.holders], found.ahead, found.behind) == (
        ["run-a", "run-b"],
        1,
        0,
    )
    assert [holder.uid for holder in await database.admissions.older(ticket)] == ["c", "b", "a"]
    await end(database.journal, "d")
    assert len(await sql_store.sql("SELECT * FROM admissions")) == 3


async def test_whom_nobody_told_is_found(sql_store: Any) -> None:
    database = sql_store.database()
    for uid in "abc":
        await begin(database.journal, uid, document())
        await begin(database.journal, f"{uid}2", document(group="other"))
    assert await database.admissions.ready() == []
    await database.journal.forget(["a"])
    assert await database.admissions.ready() == ["b"]
    await database.journal.advance("b")
    assert await database.admissions.ready() == []
    assert await running(database.journal, *"bc") == "b"


async def test_one_that_nobody_can_read_keeps_no_other_group_waiting(sql_store: Any) -> None:
    database = sql_store.database()
    for group in ("broken", "whole"):
        for number in (1, 2):
            await begin(database.journal, f"{group}{number}", document(group=group))
        await database.journal.forget([f"{group}1"])
    await sql_store.sql("UPDATE events SET kind = 'Foreign' WHERE uid = 'broken2' AND kind = 'Queued'")
    other = sql_store.database()
    assert sorted(await other.admissions.ready()) == ["broken2", "whole2"]
    nobody: Any = None
    await Turns(other.journal, other.admissions, nobody).wake()
    assert is_admitted(await other.journal.read("whole2"))


async def test_workflows_without_a_group_ask_and_write_nothing(sql_store: Any) -> None:
    journal, doc = sql_store.open().journal, build.chain(1)
    await journal.advance("a", [build.created("a", doc)], definition=doc)
    await end(journal, "a")
    assert await sql_store.sql("SELECT * FROM admissions") == []


async def test_processes_that_begin_and_end_many_at_once_never_run_more_than_the_limit(
    postgres_store: Any,
) -> None:
    processes = [postgres_store.open().journal for _ in range(3)]
    uids, doc = [f"u{number}" for number in range(40)], document(limit=3)
    most = 0
    over: set[str] = set()

    async def take(journal: Journal) -> None:
        """What gateways do."""
        while len(over) < len(uids):
            await journal.due(5)
            await asyncio.sleep(0.005)

    async def execute(number: int, uid: str) -> None:
        nonlocal most
        journal = processes[number % 3]
        await begin(journal, uid, doc)
        while not is_admitted(await journal.read(uid)):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        count = await postgres_store.sql("SELECT count(*) FROM admissions WHERE admitted_at IS NOT NULL")
        most = max(most, count[0][0])
        if number % 4 == 0:
            await processes[(number + 1) % 3].advance(uid, [ev.SuspendChanged(True, 2)])
        await end(processes[(number + 2) % 3], uid)
        over.add(uid)

    async with asyncio.timeout(60):
        takers = [asyncio.create_task(take(journal)) for journal in processes]
        await asyncio.gather(*(execute(number, uid) for number, uid in enumerate(uids)), *takers)
    assert most == 3
    assert await postgres_store.sql("SELECT * FROM admissions") == []


async def test_an_admission_that_was_not_committed_is_none(postgres_store: Any) -> None:
    journal, doc = postgres_store.open().journal, document()
    await begin(journal, "a", doc)
    await begin(journal, "b", doc)
    await end(journal, "a")
    # Whoever takes it is cut off just before its commit, again and again.
    await postgres_store.sql(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'"
    )
    await postgres_store.sql(
        "CREATE CONSTRAINT TRIGGER cut AFTER UPDATE ON admissions DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION cut()"
    )
    with contextlib.suppress(JournalUnavailable):
        await journal.due(10)
    other = postgres_store.open().journal
    assert not is_admitted(await other.read("b"))
    await postgres_store.sql("DROP TRIGGER cut ON admissions")
    assert await running(other, "a", "b") == "b"
    state = await postgres_store.open().journal.read("b")
    assert is_admitted(state)
