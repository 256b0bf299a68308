"""One database for many tests, emptied before each: making one takes longer than most of them."""

from collections.abc import Iterator

import psycopg
import pytest

from component.postgres import PostgresServer


@pytest.fixture(scope="session")
def shared_database(postgres_server: PostgresServer, migrated: str) -> Iterator[str]:
    """The name of a database with the schema, for tests that come one after another."""
    name = postgres_server.create_database(migrated)
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, shared_database: str) -> str:
    """The URL of an empty database, as the owner of its tables."""
    url = postgres_server.url(shared_database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM executions")  # and with them all that belongs to them
        for table in (
            "definitions",
            "policies",
            "blobs",
            "blob_pieces",
            "builds",
            "sandboxes",
            "conversations",
        ):
            connection.execute(f"DELETE FROM {table}")
    return url
