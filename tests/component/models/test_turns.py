"""Calls of agents in the books of a real Postgres: turns, budgets and records, however many ask at once."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

import build
from citadel.core.spending import Account, Amount, Reservation, Turn
from citadel.store.ledger import Answered, NotGranted, OutOfTurns, OverBudget, Spent
from citadel.store.memory_grants import MemoryModelGrants, MemoryModelRecords
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant
from citadel.store.model_records import ModelRecord
from citadel.store.sql import booking
from citadel.store.sql.database import Database, open_database

A_TURN = Turn()
RECORD = ModelRecord("u1", "ask", 1, "d1", "team/m", {"text": "hello"}, 3, 4, 5, {"messages": []})


@pytest.fixture
async def database(postgres_url: str) -> Any:
    found = open_database(postgres_url, pool_size=8)
    flow = build.definition(build.python_step("ask"))
    for uid in ("u1", "u2", "u3"):
        await found.journal.advance(uid, [build.created(uid, flow, {}, name=uid)], definition=flow)
        await found.model_grants.place(Grant(uid, "ask", 1, "team", {}))
    yield found
    await found.close()


def a_call(uid: str = "u1", need: int = 10, turn: Turn = A_TURN, **budgets: int) -> Reservation:
    accounts = (
        Account(f"step:{uid}/ask", "the step's", uid, tokens=budgets.get("step")),
        Account(f"execution:{uid}", "the execution's", uid, tokens=budgets.get("execution")),
        Account("agent:team/writer", "the agent's day", tokens=budgets.get("agent"), daily=True),
        Account("day:team", "the day's", tokens=budgets.get("day"), daily=True),
    )
    return Reservation(uid, "ask", 1, "team", "team/m", Amount(need, need), 1, accounts, turn=turn)


async def rows(database: Database, query: str) -> list[Any]:
    async with database._connections.engine.begin() as connection:
        return list((await connection.execute(text(query))).all())


async def race(databases: list[Database], budgets: dict[str, int], limit: int) -> Counter[str]:
    """90 calls of three executions at once, by several processes; what became of each."""

    async def one(number: int) -> str:
        uid, ledger = f"u{number % 3 + 1}", databases[number % len(databases)].ledger
        try:
            name = await ledger.reserve(a_call(uid, turn=Turn(limit), **budgets))
        except (OverBudget, OutOfTurns) as refused:
            return type(refused).__name__
        if number % 2:
            record = replace(RECORD, uid=uid, digest=f"d{number}")
            await ledger.settle(name, 5, 5, 10, record)
        return "made"

    return Counter(await asyncio.gather(*(one(number) for number in range(90))))


@pytest.mark.parametrize(
    ("budgets", "most"),
    [({"step": 70}, 21), ({"execution": 100}, 30), ({"agent": 170}, 17), ({"day": 110}, 11)],
    ids=str,
)
async def test_no_race_of_calls_passes_any_of_the_budgets(
    database: Database, postgres_url: str, budgets: dict[str, int], most: int
) -> None:
    others = [open_database(postgres_url, pool_size=8) for _ in range(2)]
    try:
        ended = await race([database, *others], budgets, limit=1000)
    finally:
        for other in others:
            await other.close()
    assert ended == {"made": most, "OverBudget": 90 - most}
    assert (await rows(database, "SELECT count(*) FROM model_reservations"))[0][0] == most
    for account in await rows(database, "SELECT key, tokens FROM model_accounts"):
        mine = "" if ":u" not in account.key else account.key.partition(":")[2][:2]
        query = "SELECT coalesce(sum(cost), 0) FROM model_reservations"
        ((total,),) = await rows(database, f"{query} WHERE uid = '{mine}'" if mine else query)
        assert account.tokens == total, account.key


async def test_no_race_of_calls_passes_the_turns_of_an_attempt(database: Database, postgres_url: str) -> None:
    other = open_database(postgres_url, pool_size=8)
    try:
        assert await race([database, other], {}, limit=7) == {"made": 21, "OutOfTurns": 69}
    finally:
        await other.close()
    numbers = await rows(database, "SELECT uid, n FROM model_records ORDER BY uid, n")
    counted = Counter(row.uid for row in numbers)
    assert [row.n for row in numbers] == [n for uid in sorted(counted) for n in range(1, counted[uid] + 1)]
    assert await rows(database, "SELECT turns FROM model_grants") == [(7,)] * 3


async def test_without_the_locks_the_race_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked = text(booking.RESERVE.text.replace("FOR UPDATE", "")).bindparams(
        *booking.RESERVE._bindparams.values()
    )
    monkeypatch.setattr("citadel.store.sql.ledger.RESERVE", unlocked)
    for _ in range(20):
        await rows(database, "DELETE FROM model_reservations RETURNING 1")
        await rows(database, "UPDATE model_accounts SET cost = 0, tokens = 0 RETURNING 1")
        if (await race([database], {"day": 110}, limit=1000))["made"] > 11:
            return
    pytest.fail("the test of races does not see a missing lock")


@pytest.mark.parametrize("kind", ["postgres", "memory"])
async def test_an_answer_is_recorded_once_while_its_attempt_goes_on(database: Database, kind: str) -> None:
    memory = MemoryLedger()
    ledger = database.ledger if kind == "postgres" else memory
    grants = database.model_grants if kind == "postgres" else MemoryModelGrants(memory)
    records = database.model_records if kind == "postgres" else MemoryModelRecords(memory)
    await grants.place(Grant("u1", "ask", 1, "team", {}))
    await ledger.settle(await ledger.reserve(a_call()), 3, 4, 5, RECORD)
    found = await records.find("u1", "ask", 1, "d1")
    assert found is not None
    assert replace(found, at=0.0) == replace(RECORD, n=1)
    # The same request once more, by another process: what it took counts, what it said does not.
    await ledger.settle(await ledger.reserve(a_call()), 1, 1, 1, replace(RECORD, answer="other"))
    await ledger.charge(await ledger.reserve(a_call()), replace(RECORD, digest="d2", request=None))
    assert [(each.digest, each.n, each.answer, each.request) for each in await records.of("u1")] == [
        ("d1", 1, {"text": "hello"}, {"messages": []}),
        ("d2", 2, {"text": "hello"}, None),
    ]
    assert await ledger.spent("u1", "ask", 1) == Spent(13, 6, 16, 3, True)
    late = await ledger.reserve(a_call())
    await grants.remove("u1", "ask", 1)
    await ledger.settle(late, 1, 1, 1, replace(RECORD, digest="d3"))
    assert len(await records.of("u1")) == 2
    assert (await ledger.spent("u1", "ask", 1)).cost == 26
    assert await records.find("u1", "ask", 2, "d1") is None
    with pytest.raises(NotGranted, match="attempt 1 of step ask is over"):
        await ledger.reserve(a_call())


@pytest.mark.parametrize("kind", ["postgres", "memory"])
async def test_what_is_tried_again_is_one_turn_and_what_gave_nothing_is_none(
    database: Database, kind: str
) -> None:
    memory = MemoryLedger()
    ledger = database.ledger if kind == "postgres" else memory
    await MemoryModelGrants(memory).place(Grant("u1", "ask", 1, "team", {}))
    await ledger.reserve(a_call(turn=Turn(1)))
    await ledger.reserve(a_call(turn=Turn(1, begins=False)))
    with pytest.raises(OutOfTurns, match="turns is 1"):
        await ledger.reserve(a_call(turn=Turn(1)))
    await ledger.unanswered("u1", "ask", 1)
    await ledger.unanswered("u1", "ask", 1)
    name = await ledger.reserve(a_call(turn=Turn(1)))
    await ledger.settle(name, 1, 1, 1, RECORD)
    await ledger.unanswered("u1", "ask", 1)
    with pytest.raises(OutOfTurns):
        await ledger.reserve(a_call(turn=Turn(1)))


async def test_a_call_is_booked_by_two_statements_without_a_transaction_around_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.ledger.reserve(a_call())
    seen: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def watched(cursor: Any, query: str, *parameters: Any, **how: Any) -> Any:
        seen.append(query)
        return await execute(cursor, query, *parameters, **how)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", watched)
    name = await database.ledger.reserve(a_call())
    await database.ledger.settle(name, 1, 1, 1, RECORD)
    assert [statement.split()[0] for statement in seen] == ["WITH", "WITH"]


@pytest.mark.parametrize("kind", ["postgres", "memory"])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"requests_per_minute": 1},
        {"turn": Turn(1)},
        {"accounts": (Account("day:team", "the day's", tokens=1, daily=True),)},
        {"attempt_is_over": True},
    ],
    ids=["as it was", "at its rate", "without turns", "without budget", "after its attempt"],
)
async def test_what_was_answered_is_told_before_anything_is_reserved(
    database: Database, kind: str, changed: dict[str, Any]
) -> None:
    memory = MemoryLedger()
    ledger = database.ledger if kind == "postgres" else memory
    grants = database.model_grants if kind == "postgres" else MemoryModelGrants(memory)
    await grants.place(Grant("u1", "ask", 1, "team", {}))
    asked = replace(a_call(), digest="d1")
    await ledger.settle(await ledger.reserve(asked), 3, 4, 5, RECORD)
    if changed.pop("attempt_is_over", False):
        await grants.remove("u1", "ask", 1)
    with pytest.raises(Answered) as answered:
        await ledger.reserve(replace(asked, **changed))
    assert replace(answered.value.record, at=0.0) == replace(RECORD, n=1)
    assert (await ledger.spent("u1", "ask", 1)).calls == 1
