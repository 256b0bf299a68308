"""Brings a Postgres database to this version's schema and rights; what the init container runs.

Any number of these may run at once: the first does the work, the others wait for it and find nothing to do.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from citadel.settings import database_url
from citadel.store.sql.engine import CONNECT_SECONDS, parse_url
from citadel.store.sql.roles import apply_roles, read_passwords

#: Seconds for the database to answer, and for the advisory lock.
WAIT_SECONDS = 300.0
_RETRY_SECONDS = 1.0
#: An arbitrary number; the lock is the database's, so it only has to differ from other programs'.
_LOCK = 4_013_977_241


def run(env: Mapping[str, str] = os.environ) -> None:
    """Migrates the database of CITADEL_DATABASE_URL, and makes roles when CITADEL_DATABASE_ROLES_DIR is set.

    Waits up to `WAIT_SECONDS` for the database. Raises click.ClickException with one line for an operator.
    """
    try:
        folder = env.get("CITADEL_DATABASE_ROLES_DIR")
        passwords = read_passwords(Path(folder)) if folder else None
        url = parse_url(database_url(env))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    engine = create_engine(
        url, connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "citadel-migrate"}
    )
    try:
        migrate(engine, passwords, click.echo)
    finally:
        engine.dispose()


def migrate(engine: Engine, passwords: Mapping[str, str] | None, say: Callable[[str], None]) -> None:
    """Migrates under an advisory lock; `say` tells progress."""
    deadline = time.monotonic() + WAIT_SECONDS
    with _connected(engine, deadline, say) as connection:
        _lock(connection, deadline, say)
        try:
            upgrade(connection)
            granted = apply_roles(connection, passwords)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
            connection.commit()
    say(f"The database has this version's schema. Roles: {', '.join(granted) or 'none of ours'}.")


def upgrade(connection: Connection) -> None:
    """Runs the migrations that this database lacks, in the transaction of `connection`."""
    # On import it announces its own plugins, a line each.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _connected(engine: Engine, deadline: float, say: Callable[[str], None]) -> Connection:
    said = ""
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            reason = str(error.orig).strip().partition("\n")[0]
            left = deadline - time.monotonic()
            if left <= 0:
                raise click.ClickException(f"no database within {WAIT_SECONDS:.0f}s: {reason}") from error
            if reason != said:
                say(f"Waiting for the database, {left:.0f}s more at most: {reason}")
                said = reason
            time.sleep(_RETRY_SECONDS)


def _lock(connection: Connection, deadline: float, say: Callable[[str], None]) -> None:
    said = False
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}).scalar_one():
        # Not inside one long transaction: it would hold back what the other one does.
        connection.commit()
        if time.monotonic() > deadline:
            raise click.ClickException(f"another migration still runs after {WAIT_SECONDS:.0f}s")
        if not said:
            say("Waiting for another migration to end.")
            said = True
        time.sleep(_RETRY_SECONDS)
    connection.commit()
