"""Statements on connections of psycopg: they give what SQLAlchemy would, and leave connections in order."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import JSON, LargeBinary, Text, bindparam, insert, select, text, tuple_, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from citadel.store.sql import tables as t
from citadel.store.sql.database import Database
from citadel.store.sql.engine import Connection, Connections

DEFINITIONS = [{"digest": f"d{number}", "body": {"n": number, "é": ["\N{SNOWMAN}"]}} for number in range(3)]


@pytest.fixture
async def connections(postgres_store: Any) -> Connections:
    database: Database = postgres_store.database()
    found: Connections = database._connections
    await found.transact(lambda connection: connection.execute(insert(t.definitions), DEFINITIONS))
    return found


async def found(connections: Connections, statement: Any, given: Any = None) -> list[tuple[Any, ...]]:
    async def work(connection: Connection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in (await connection.execute(statement, given)).all()]

    return await connections.read(work)


async def test_several_sets_of_parameters_are_several_rows(connections: Connections) -> None:
    rows = await found(connections, select(t.definitions.c.digest, t.definitions.c.body).order_by("digest"))
    assert rows == [(item["digest"], item["body"]) for item in DEFINITIONS]


@pytest.mark.parametrize("digests", [["d0", "d2"], ["d1"], []], ids=["two", "one", "none"])
async def test_a_list_is_as_long_as_it_is(connections: Connections, digests: list[str]) -> None:
    column = t.definitions.c.digest
    in_list = select(column).where(column.in_(bindparam("of", expanding=True))).order_by(column)
    assert await found(connections, in_list, {"of": digests}) == [(each,) for each in digests]
    pairs = select(column).where(tuple_(column, column).in_(bindparam("of", expanding=True))).order_by(column)
    assert await found(connections, pairs, {"of": [(each, each) for each in digests]}) == [
        (each,) for each in digests
    ]


async def test_values_of_a_statement_are_not_those_of_the_next_like_it(
    connections: Connections,
) -> None:
    column = t.definitions.c.digest
    for digest in ("d0", "d2", "nothing", "d1"):
        expected = [] if digest == "nothing" else [(digest,)]
        assert await found(connections, select(column).where(column == digest)) == expected


async def test_types_come_back_as_they_went(connections: Connections) -> None:
    values = {"body": {"a": [1, None, "é"]}, "raw": b"\0\xff", "words": "50 % of :x %(y)s", "nothing": None}
    kinds = {"body": JSON, "raw": LargeBinary, "words": Text, "nothing": Text}
    columns = [bindparam(name, type_=kind).label(f"found_{name}") for name, kind in kinds.items()]

    async def work(connection: Connection) -> Any:
        return (await connection.execute(select(*columns), values)).mappings().one()

    row = await connections.read(work)
    assert {name: row[f"found_{name}"] for name in values} == values


async def test_how_many_rows_were_changed_is_told(connections: Connections) -> None:
    async def work(connection: Connection) -> tuple[int, int]:
        body = update(t.definitions).values(body={})
        all_, none = await connection.execute(body), await connection.execute(body.where(text("false")))
        return all_.rowcount, none.rowcount

    assert await connections.transact(work) == (3, 0)


@pytest.mark.parametrize("how", ["it fails", "it rolls back", "it is cancelled"])
async def test_what_was_not_committed_is_undone(connections: Connections, how: str) -> None:
    began = asyncio.Event()

    async def work(connection: Connection) -> None:
        await connection.execute(insert(t.definitions).values(digest="new", body={}))
        began.set()
        match how:
            case "it fails":
                await connection.execute(insert(t.definitions).values(digest="new", body={}))
            case "it rolls back":
                await connection.rollback()
            case _:
                await connection.execute(text("SELECT pg_sleep(60)"))

    doing = asyncio.create_task(connections.transact(work))
    await asyncio.wait((doing, asyncio.create_task(began.wait())), return_when=asyncio.FIRST_COMPLETED)
    if how == "it is cancelled":
        doing.cancel()
    (outcome,) = await asyncio.gather(doing, return_exceptions=True)
    expected = {"it fails": IntegrityError, "it is cancelled": asyncio.CancelledError}.get(how)
    assert isinstance(outcome, expected) if expected else outcome is None
    # Nobody waits for a lock of it, and the connection, or another in its place, is of use.
    await connections.transact(
        lambda other: other.execute(insert(t.definitions).values(digest="new", body={}))
    )


async def test_what_fails_between_reads_does_not_spoil_the_connection(connections: Connections) -> None:
    for _ in range(3):
        with pytest.raises(ProgrammingError, match="nowhere"):
            await found(connections, text("SELECT nowhere()"))
        assert await found(connections, text("SELECT count(*) FROM definitions")) == [(3,)]


async def test_without_a_transaction_each_statement_is_one(connections: Connections) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(insert(t.definitions).values(digest="kept", body={}))
        raise LookupError

    with pytest.raises(LookupError):
        await connections.read(work)
    assert await found(connections, text("SELECT count(*) FROM definitions WHERE digest = 'kept'")) == [(1,)]
