"""One Postgres role for each process, with exactly the rights it needs. None of them owns the tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from citadel.store.sql.tables import metadata

#: A call of a tool that is without a credential; whose it is, and by what token, is for those who make it.
_PLACING = "INSERT (uid, step, attempt, namespace, body, hosts, placed_at)"
#: What it takes to record a fact and all that follows from it.
_ADVANCING: Mapping[str, str] = {
    "definitions": "SELECT",
    "executions": "SELECT, UPDATE",
    "events": "SELECT, INSERT",
    "values": "SELECT, INSERT",
    "steps": "SELECT, INSERT, UPDATE",
    "sandboxes": "SELECT, INSERT, UPDATE",
    "deliveries": "SELECT, INSERT, UPDATE, DELETE",
    "admissions": "SELECT, INSERT, UPDATE, DELETE",
    "approvals": "SELECT, INSERT, UPDATE",
    "artifacts": "SELECT, INSERT, UPDATE",
    "builds": "SELECT, INSERT, UPDATE, DELETE",
    "cached": "SELECT, INSERT, DELETE",
    "cached_artifacts": "SELECT, INSERT",
    "tool_calls": _PLACING,
}
#: Process -> table -> rights. What is not named is forbidden.
RIGHTS: Mapping[str, Mapping[str, str]] = {
    "controller": dict.fromkeys(metadata.tables, "SELECT, INSERT, UPDATE, DELETE"),
    "gateway": {
        "definitions": "SELECT",
        "executions": "SELECT, UPDATE",
        "events": "SELECT, INSERT",
        "values": "SELECT, INSERT",
        "steps": "SELECT, INSERT, UPDATE",
        "sandboxes": "SELECT, INSERT, UPDATE",
        "deliveries": "SELECT, INSERT, UPDATE, DELETE",
        "logs": "SELECT, INSERT",
        "policies": "SELECT",
        "approvals": "SELECT, INSERT, UPDATE",
        "admissions": "SELECT, INSERT, UPDATE, DELETE",
        "blobs": "SELECT, INSERT, UPDATE, DELETE",
        "blob_pieces": "SELECT, INSERT, DELETE",
        "artifacts": "SELECT, INSERT, UPDATE",
        "builds": "SELECT, INSERT, UPDATE, DELETE",
        "cached": "SELECT, INSERT, DELETE",
        "cached_artifacts": "SELECT, INSERT",
        "connections": "SELECT, INSERT, UPDATE",
        # It tells agents what they remember, and appends what they answer.
        "conversations": "SELECT, INSERT, UPDATE",
        "conversation_turns": "SELECT, INSERT, DELETE",
        "recollections": "SELECT, INSERT, UPDATE, DELETE",
        # What a token of those processes stands for; nothing of the call, and no credential.
        "model_calls": "SELECT (uid, step, attempt, namespace, hosts, token_hash)",
        "model_grants": "SELECT (uid, step, attempt, namespace, hosts, token_hash)",
        "tool_calls": f"SELECT (uid, step, attempt, namespace, hosts, token_hash), {_PLACING}",
        # What an agent's attempt has taken, which its end says.
        "model_reservations": "SELECT (uid, step, attempt, model, provider, at, state, cost, input_tokens,"
        " output_tokens)",
        "tool_checks": "SELECT (namespace, hosts, token_hash)",
    },
    # It advances executions by what models answered, and keeps the ledger.
    "models": {
        **_ADVANCING,
        "model_calls": "SELECT, UPDATE, DELETE",
        "model_accounts": "SELECT, INSERT, UPDATE, DELETE",
        "model_reservations": "SELECT, INSERT, UPDATE",
        # It counts by them, and places none.
        "model_grants": "SELECT, UPDATE (turns, answered)",
        "model_records": "SELECT, INSERT",
        # Whether the namespace has its prompts recorded.
        "policies": "SELECT",
    },
    # It advances executions by what tools answered.
    "tools": {
        **_ADVANCING,
        "tool_calls": f"SELECT, UPDATE, DELETE, {_PLACING}",
        "tool_checks": "SELECT, UPDATE",
    },
    "api": {
        "definitions": "SELECT",
        "executions": "SELECT",
        "events": "SELECT",
        "values": "SELECT",
        "steps": "SELECT",
        # All but what a sandbox authenticates by.
        "sandboxes": "SELECT (name, uid, namespace, execution, placement, template, status, wanted_at,"
        " pod_uid, heartbeat_at, immediate, pool, claimed_at)",
        "logs": "SELECT",
        # What models took, by step.
        "model_reservations": "SELECT (uid, step, model, provider, at, state, cost, input_tokens,"
        " output_tokens)",
        # What they answered agents, which is as a log.
        "model_records": "SELECT",
        "connections": "SELECT",
        "admissions": "SELECT",
        # What people read and delete.
        "conversations": "SELECT, DELETE",
        "conversation_turns": "SELECT",
        "recollections": "SELECT, DELETE",
        # What it appends; the controller makes facts of them.
        "signals": "INSERT",
    },
}


def role_name(process: str) -> str:
    """The role of a process."""
    return f"citadel_{process}"


def read_passwords(folder: Path) -> dict[str, str]:
    """The password of each process, from the file of its name; ValueError if one is missing or empty."""
    found = {}
    for process in RIGHTS:
        file = folder / process
        password = file.read_text().strip() if file.is_file() else ""
        if not password:
            raise ValueError(f"{file}: expected the password of the Postgres role {role_name(process)}")
        found[process] = password
    return found


def apply_roles(connection: Connection, passwords: Mapping[str, str] | None) -> list[str]:
    """Creates the roles or updates their passwords, if given; grants to those that exist. Returns their
    names.

    Inside the caller's transaction, so that no process ever sees itself without rights.
    """
    known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    database = connection.execute(text("SELECT current_database()")).scalar_one()
    granted = []
    for process, rights in RIGHTS.items():
        name = role_name(process)
        if passwords is not None:
            _set_password(connection, name, passwords[process], is_new=name not in known)
        elif name not in known:
            continue
        role = sql.Identifier(name)
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", sql.Identifier(database), role)
        _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), role)
        _run(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", sql.Identifier(schema), role)
        for table, right in rights.items():
            target = sql.Identifier(schema, table)
            _run(connection, "GRANT {} ON {} TO {}", sql.SQL(right), target, role)
        granted.append(name)
    return granted


def _set_password(connection: Connection, name: str, password: str, *, is_new: bool) -> None:
    raw: Any = connection.connection.driver_connection
    # Hashed here: a statement with a password in it may end up in the server's log.
    verifier = raw.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    verb = sql.SQL("CREATE ROLE" if is_new else "ALTER ROLE")
    _run(connection, "{} {} LOGIN PASSWORD {}", verb, sql.Identifier(name), sql.Literal(verifier))


def _run(connection: Connection, template: Any, *parts: sql.Composable) -> None:
    raw: Any = connection.connection.driver_connection
    raw.execute(sql.SQL(template).format(*parts))
