"""URLs of databases, as people write them."""

import pytest

from citadel.store.sql.engine import parse_url


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://user@db/citadel", "postgresql+psycopg"),
        ("postgres://user@db/citadel?sslmode=verify-full", "postgresql+psycopg"),
        ("postgresql+psycopg://user:p%40ss@db:5432/citadel", "postgresql+psycopg"),
        ("sqlite:////tmp/journal.db", "sqlite+aiosqlite"),
    ],
)
def test_a_url_names_the_database_and_citadel_the_driver(url: str, driver: str) -> None:
    parsed = parse_url(url)
    assert parsed.drivername == driver
    assert parsed.database in ("citadel", "/tmp/journal.db")


@pytest.mark.parametrize("url", ["mysql://user@db/citadel", "redis://cache"])
def test_another_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="expected postgresql or sqlite"):
        parse_url(url)
