"""A Postgres for every component test that asks for one; each test gets a fresh database with the schema."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine

from citadel.store.sql.engine import parse_url
from citadel.store.sql.migrate import migrate
from component.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server; tests that stop it start it again."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def migrated(postgres_server: PostgresServer) -> str:
    """The name of a database with the schema and nothing else, to copy from."""
    name = postgres_server.create_database()
    engine = create_engine(parse_url(postgres_server.url(name)))
    migrate(engine, None, lambda text: None)
    engine.dispose()
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated: str) -> Iterator[str]:
    """The URL of a database of this test's own, as the owner of its tables."""
    name = postgres_server.create_database(migrated)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
