"""The schema and the rights that `citadel-operator migrate` makes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

import build
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.spending import Account, Amount, Reservation
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from citadel.store.journal import LogChunk
from citadel.store.model_grants import Grant
from citadel.store.signals import SignalRow
from citadel.store.sql.database import open_database
from citadel.store.sql.engine import parse_url
from citadel.store.sql.migrate import run
from citadel.store.sql.roles import RIGHTS, role_name
from citadel.store.sql.tables import metadata
from citadel.store.tool_checks import Check
from component.postgres import PostgresServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Passwords of all roles."""
    for process in RIGHTS:
        (tmp_path / process).write_text(f"secret of {process}\n")
    return tmp_path


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database without anything in it; roles are dropped after it."""
    name = postgres_server.create_database()
    yield name
    postgres_server.drop_database(name)
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        for process in RIGHTS:
            connection.execute(f"DROP ROLE IF EXISTS {role_name(process)}")


@pytest.fixture
def environment(postgres_server: PostgresServer, empty: str, folder: Path) -> dict[str, str]:
    """What the init container is told."""
    return {"CITADEL_DATABASE_URL": postgres_server.url(empty), "CITADEL_DATABASE_ROLES_DIR": str(folder)}


def test_migrations_and_tables_agree(postgres_url: str) -> None:
    engine = create_engine(parse_url(postgres_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_many_migrations_at_once_do_it_once(environment: dict[str, str], capsys) -> None:
    await asyncio.gather(*(asyncio.to_thread(run, environment) for _ in range(4)))
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if not line.startswith("Waiting")] == [
        "The database has this version's schema. Roles: citadel_controller, citadel_gateway, citadel_models,"
        " citadel_tools, citadel_api."
    ] * 4


def test_roles_that_exist_get_their_rights_without_passwords(environment: dict[str, str], capsys) -> None:
    run(environment)
    with psycopg.connect(environment["CITADEL_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("REVOKE ALL ON events FROM citadel_api")
        connection.execute("GRANT DELETE ON events TO citadel_api")
    run({"CITADEL_DATABASE_URL": environment["CITADEL_DATABASE_URL"]})
    with psycopg.connect(environment["CITADEL_DATABASE_URL"]) as connection:
        rights = "SELECT has_table_privilege('citadel_api', 'events', r) FROM unnest(%s::text[]) AS r"
        assert connection.execute(rights, [["SELECT", "DELETE"]]).fetchall() == [(True,), (False,)]


def test_passwords_are_taken_from_files_and_never_kept_in_the_clear(
    environment: dict[str, str], folder: Path
) -> None:
    hashes = "SELECT rolpassword FROM pg_authid WHERE rolname = 'citadel_gateway'"
    run(environment)
    with psycopg.connect(environment["CITADEL_DATABASE_URL"]) as connection:
        (first,) = connection.execute(hashes).fetchone() or ("",)
    (folder / "gateway").write_text("another one")
    run(environment)
    with psycopg.connect(environment["CITADEL_DATABASE_URL"]) as connection:
        (second,) = connection.execute(hashes).fetchone() or ("",)
    assert first.startswith("SCRAM-SHA-256$")
    assert second.startswith("SCRAM-SHA-256$")
    assert first != second


def test_a_missing_password_is_named(environment: dict[str, str], folder: Path) -> None:
    (folder / "api").unlink()
    with pytest.raises(click.ClickException, match=f"{folder}/api: expected the password of .* citadel_api"):
        run(environment)


def test_a_database_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("citadel.store.sql.migrate.WAIT_SECONDS", 0.2)
    monkeypatch.setattr("citadel.store.sql.migrate._RETRY_SECONDS", 0.1)
    with pytest.raises(click.ClickException, match="no database within"):
        run({"CITADEL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert capsys.readouterr().out.startswith("Waiting for the database")


FORBIDDEN = {
    "citadel_gateway": [
        "DELETE FROM executions",
        "DELETE FROM events",
        "UPDATE events SET at = 0",
        "DELETE FROM logs",
        "DELETE FROM sandboxes",
        "INSERT INTO definitions VALUES ('d', '{}')",
        "SELECT * FROM signals",
        "SELECT sealed FROM model_grants",
        "SELECT sealed FROM tool_calls",
        "INSERT INTO tool_calls (uid, sealed) VALUES ('u', '{}')",
        "UPDATE tool_calls SET body = '{}'",
        "SELECT * FROM model_records",
        "CREATE TABLE mine (a int)",
    ],
    "citadel_models": [
        "DELETE FROM model_grants",
        "UPDATE model_grants SET body = '{}'",
        "UPDATE model_records SET answer = '{}'",
        "DELETE FROM model_reservations",
    ],
    "citadel_tools": [
        "SELECT * FROM model_calls",
        "SELECT * FROM policies",
        "SELECT * FROM logs",
        "DELETE FROM tool_checks",
        "INSERT INTO tool_calls (uid, sealed) VALUES ('u', '{}')",
        "DELETE FROM events",
    ],
    "citadel_api": [
        "INSERT INTO logs (uid, step, attempt, n, stream, at, text) VALUES ('u', 's', 1, 1, '', '', '')",
        "UPDATE executions SET phase = 'Succeeded'",
        "SELECT session_hash FROM sandboxes",
        "SELECT public_key FROM sandboxes",
        "SELECT * FROM sandboxes",
        "SELECT sealed FROM deliveries",
        "SELECT key_hash FROM sandboxes",
        "SELECT payload FROM signals",
        "DELETE FROM signals",
        "SELECT * FROM approvals",
    ],
    "citadel_controller": ["TRUNCATE events", "DROP TABLE events", "CREATE TABLE mine (a int)"],
}


def test_no_process_may_do_more_than_it_needs(
    postgres_server: PostgresServer, environment: dict[str, str], empty: str
) -> None:
    run(environment)
    allowed = []
    for role, statements in FORBIDDEN.items():
        with psycopg.connect(postgres_server.url(empty, role), autocommit=True) as connection:
            for statement in statements:
                try:
                    connection.execute(statement)
                    allowed.append((role, statement))
                except psycopg.errors.InsufficientPrivilege:
                    pass
    assert not allowed


async def test_every_process_may_do_what_it_needs(
    postgres_server: PostgresServer, environment: dict[str, str], empty: str
) -> None:
    run(environment)
    controller, gateway, models, tools, api = (
        open_database(postgres_server.url(empty, role_name(process))) for process in RIGHTS
    )
    secret = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    steps = [
        build.python_step("a", arguments={"p": secret}),
        build.python_step("b", needs=[], isolation="step"),
        {"name": "c", "needs": [], "approval": {"approvers": {"users": ["ann"]}}, "timeout": "1h"},
        {"name": "d", "needs": [], "llm": {"model": "m", "prompt": "?"}, "cache": {}},
        {"name": "e", "needs": ["d"], **build.python_step("e", isolation="step")},
    ]
    definition = build.definition(*steps, timeout="1h", concurrency={"group": "one"})
    try:
        started = await controller.journal.advance(
            "uid-1", [build.created("uid-1", definition)], definition=definition
        )
        sandbox, _ = started.state.sandboxes
        await controller.model_calls.place(PlacedCall("uid-1", "d", 1, "team", {}))
        ((call, _),) = await models.model_calls.take("me", {"token": "hash of it"}, 60)
        assert (await gateway.model_calls.passage("hash of it")).step == "d"  # type: ignore[union-attr]
        paying = (Account("a", "x", "uid-1"), Account("day", "x", daily=True))
        need = Reservation("uid-1", "d", 1, "team", "team/m", Amount(2, 2), 1, paying, 5, 5)
        await models.ledger.settle(await models.ledger.reserve(need), 1, 1, 1)
        await models.ledger.charge(await models.ledger.reserve(need))
        assert (await models.ledger.spent("uid-1", "d", 1)).cost == 3
        assert (await api.ledger.usage("uid-1"))["d"].cost == 3
        await controller.model_grants.place(Grant("uid-1", "d", 1, "team", {}, token_hash="hash of grant"))
        assert (await gateway.model_grants.passage("hash of grant")).step == "d"  # type: ignore[union-attr]
        assert await models.model_grants.get("uid-1", "d", 1) is not None
        assert await models.model_records.of("uid-1") == []
        await controller.model_grants.remove("uid-1", "d", 1)
        assert await models.policies.get("team") == []
        long, answer = build.stored("y" * 2000)
        await models.journal.advance("uid-1", [ev.ModelAnswered("d", 1, long)], outputs=answer)
        assert await models.model_calls.renew("me", call, 60)
        await models.model_calls.remove("me", call)
        await models.ledger.prune()
        await controller.tool_calls.place(call)
        ((call, _),) = await tools.tool_calls.take("me", {"token": "hash"}, 60)
        assert (await gateway.tool_calls.passage("hash")).step == "d"  # type: ignore[union-attr]
        assert await tools.tool_calls.sending("me", call)
        await tools.journal.advance("uid-1", [ev.SignalReceived("s", "tool", Inline(1))])
        await tools.tool_calls.remove("me", call)
        await controller.tool_checks.place(Check("team", "t", "sha256:1", {}))
        ((check, _),) = await tools.tool_checks.take("me", {"token": "hash"}, 60)
        assert (await gateway.tool_checks.passage("hash")).namespace == "team"  # type: ignore[union-attr]
        await tools.tool_checks.answer("me", check, {"functions": {}})
        assert (await controller.tool_checks.checked("team", "t")).result == {"functions": {}}  # type: ignore[union-attr]
        await controller.tool_checks.forget("team", "t")
        await controller.sandboxes.observe(sandbox, pod_uid="pod", key_hash="hash of its key")
        assert await gateway.sandboxes.register(sandbox, "pod", "hash", "key")
        await gateway.sandboxes.heartbeat([sandbox])
        taken = await gateway.journal.advance("uid-1", [ev.SandboxRegistered(sandbox)], claim=sandbox)
        assert taken.step == "a"
        await controller.sandboxes.delivery(sandbox, {"p": "sealed"})
        await gateway.sandboxes.delivery(sandbox)
        await gateway.journal.append_logs("uid-1", [LogChunk("a", 1, 0, "stdout", "", "x")])
        value, bodies = build.stored("x" * 2000)
        fact = ev.AttemptSucceeded("a", 1, sandbox, value)
        await gateway.journal.advance("uid-1", [fact], outputs=bodies)
        ended = ev.SandboxEnded(sandbox, Failure("SandboxLost", "gone"))
        await gateway.journal.advance("uid-1", [ended])
        await gateway.journal.due(10)
        await api.signals.send(SignalRow("uid-1", "payment", "k", 1))
        (signal,) = await controller.signals.of("uid-1")
        await controller.signals.delivered(signal)
        (asked,) = await controller.approvals.pending()
        await controller.approvals.made(asked, "object")
        decided = ev.ApprovalDecided("c", True, "ann", "", Inline(None), 1.0)
        await gateway.journal.advance("uid-1", [decided])
        assert (await api.journal.read("uid-1")).steps["a"].output == value
        assert len(await api.journal.logs("uid-1", {}, 10)) == 1
        await controller.journal.advance("uid-2", [build.created("uid-2", definition)], definition=definition)
        await gateway.journal.advance("uid-1", [ev.StopRequested("Terminate", "Terminated", "")])
        assert await gateway.journal.due(10) == ["uid-2"]
        assert (await api.admissions.waiting("team")) == await controller.admissions.ready() == []
        await api.journal.values("uid-1", list(bodies))
        for database in (controller, gateway, models, tools, api):
            await database.ping()
        await controller.journal.forget(["uid-1", "uid-2"])
        await controller.journal.prune(0.0)
    finally:
        for database in (controller, gateway, models, tools, api):
            await database.close()
