"""Errors of a database end up in logs: what was to be stored must not."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from citadel.store.sql.engine import make_engine, parse_url


def test_an_error_of_postgres_will_not_carry_values() -> None:
    assert make_engine(parse_url("postgresql://user@db/citadel")).sync_engine.hide_parameters


async def test_an_error_does_not_carry_the_values_of_its_statement(tmp_path: Path) -> None:
    engine = make_engine(parse_url(f"sqlite:///{tmp_path}/journal.db"))
    with pytest.raises(DBAPIError) as caught:
        async with engine.connect() as connection:
            await connection.execute(text("INSERT INTO nothing VALUES (:x)"), {"x": "an input"})
    await engine.dispose()
    assert "nothing" in str(caught.value)
    assert "an input" not in str(caught.value)
