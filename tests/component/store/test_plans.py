"""How Postgres does what is done all the time: by an index, however much there is, and planned once."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

import build
from citadel.core.spending import Account, Amount, Reservation, Turn
from citadel.store.model_records import ModelRecord
from citadel.store.sql.database import Database

MUCH = 5000
#: After so many executions of a statement psycopg has prepared it, and Postgres has decided how to plan it.
OFTEN = 20
#: Tables, and expressions for the columns of row `n`.
FILLED: dict[str, dict[str, str]] = {
    "executions": {
        **dict.fromkeys(("uid", "name"), "'old-' || n"),
        **dict.fromkeys(("namespace", "workflow", "phase", "reason", "message"), "'team'"),
        **dict.fromkeys(("seq", "done", "total"), "1"),
        **dict.fromkeys(("created_at", "changed_at", "finished_at"), "n"),
        "suspended": "false",
    },
    "events": {"uid": "'old-' || n", "seq": "1", "at": "n", "kind": "'Created'", "data": "'{}'"},
    "steps": {
        "uid": "'old-' || n",
        **dict.fromkeys(("name", "status"), "'s0'"),
        **dict.fromkeys(("position", "attempt"), "1"),
    },
    "sandboxes": {
        **dict.fromkeys(("name", "uid", "execution"), "'old-' || n"),
        **dict.fromkeys(("namespace", "placement", "pool"), "'team'"),
        **dict.fromkeys(("wanted_at", "claimed_at"), "n"),
        "template": "'{}'",
        "status": "'gone'",
        "immediate": "false",
    },
    "model_accounts": {
        **dict.fromkeys(("key", "uid"), "'old-' || n"),
        **dict.fromkeys(("cost", "tokens", "changed_at"), "n"),
    },
    "model_reservations": {
        **dict.fromkeys(("id", "uid"), "'old-' || n"),
        **dict.fromkeys(("step", "namespace", "model", "provider"), "'team'"),
        **dict.fromkeys(("attempt", "at", "cost", "input_tokens", "output_tokens"), "n"),
        "state": "'settled'",
        "accounts": "'[]'",
    },
    "model_records": {
        "uid": "'old-' || n",
        **dict.fromkeys(("step", "digest", "model"), "'team'"),
        **dict.fromkeys(("attempt", "n", "at", "input_tokens", "output_tokens", "cost"), "n"),
        "answer": "'{}'",
    },
}
GRANT = (
    "INSERT INTO model_grants (uid, step, attempt, namespace, body, hosts, placed_at, turns, answered)"
    " VALUES ('old-1', 's0', 1, 'team', '{}', '[]', 0, 0, 0)"
)


@pytest.fixture
async def database(postgres_store) -> AsyncIterator[Database]:
    """A database that has been used for long."""
    for table, row in FILLED.items():
        values = f"SELECT {', '.join(row.values())} FROM generate_series(1, {MUCH}) n"
        await postgres_store.sql(f"INSERT INTO {table} ({', '.join(row)}) {values}")
    await postgres_store.sql(GRANT)
    await postgres_store.sql("ANALYZE")
    return postgres_store.database()


def reservation(number: int) -> Reservation:
    of_run = Account("execution:old-1", "budget", "old-1", cost=10**9, tokens=10**9)
    of_day = Account("day:team", "budget", cost=10**9)
    return Reservation(
        uid="old-1",
        step="s0",
        attempt=1,
        namespace="team",
        model="team/m",
        need=Amount(10, 10),
        max_tokens=5,
        accounts=(of_run, of_day),
        requests_per_minute=100 if number % 2 else None,
        digest=f"d{number}",
        turn=Turn(),
    )


async def call(database: Database, number: int) -> None:
    """One call of a model: reserved, settled, and recorded."""
    name = await database.ledger.reserve(reservation(number))
    record = ModelRecord("old-1", "s0", 1, f"d{number}", "team/m", {}, 5, 5, 7)
    await database.ledger.settle(name, 5, 5, 7, record)


async def work(database: Database, number: int) -> None:
    """What one agent's step makes the database do, and what is looked at again and again."""
    uid, definition = f"new-{number}", build.chain(1)
    advance = await database.journal.advance(uid, [build.created(uid, definition)], definition=definition)
    sandbox = build.only_sandbox(advance)
    await database.sandboxes.heartbeat([sandbox])
    await database.sandboxes.get(sandbox)
    await database.sandboxes.of(uid)
    await database.journal.read(uid)
    await call(database, number)
    await database.ledger.spent("old-1", "s0", 1)
    await database.ledger.usage("old-1")
    await database.journal.due(10)
    await database.sandboxes.open()
    await database.pools.demand(60.0, 5.0)


async def test_nothing_reads_a_table_whole(database, postgres_store) -> None:
    async def read() -> dict[str, int]:
        found = await postgres_store.sql("SELECT relname, seq_tup_read FROM pg_stat_user_tables")
        return {name: rows for name, rows in found if name in FILLED}

    before = await read()
    for number in range(OFTEN):
        await work(database, number)
    await database.close()  # what a connection has counted is known once it has ended
    rows = {name: rows - before[name] for name, rows in (await read()).items()}
    assert {name: count for name, count in rows.items() if count >= MUCH} == {}


async def test_calls_of_models_are_planned_once(database) -> None:
    for number in range(OFTEN):
        await call(database, 2 * number)

    async def look(connection) -> list[tuple[str, int, int]]:
        query = "SELECT statement, custom_plans, generic_plans FROM pg_prepared_statements"
        return [tuple(row) for row in await connection.execute(text(query))]

    # The connection that was used last is used first.
    plans = {words.split()[1]: found for words, *found in await database._connections.read(look)}
    assert {name: custom for name, (custom, _) in plans.items()} == {"known": 5, "granted": 5}
    assert all(generic > 0 for _, generic in plans.values())
