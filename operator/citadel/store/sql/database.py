"""Everything that a process has of the database, from one URL."""

from collections.abc import Callable

from sqlalchemy import text

from citadel.store.blobs import BlobLimits, Objects
from citadel.store.journal import Advance
from citadel.store.sql import tables as t
from citadel.store.sql.admissions import SqlAdmissions
from citadel.store.sql.announcing import LocalNotices, Notices
from citadel.store.sql.approvals import SqlApprovals
from citadel.store.sql.archive import SqlArchive
from citadel.store.sql.blobs import SqlBlobs
from citadel.store.sql.calls import SqlModelCalls, SqlToolCalls
from citadel.store.sql.connections import SqlConnectionLog
from citadel.store.sql.conversations import SqlConversations
from citadel.store.sql.engine import Connection, Connections, make_engine, parse_url
from citadel.store.sql.journal import SqlJournal
from citadel.store.sql.ledger import SqlLedger
from citadel.store.sql.model_grants import SqlModelGrants
from citadel.store.sql.model_records import SqlModelRecords
from citadel.store.sql.policies import SqlPolicies
from citadel.store.sql.pools import SqlPools
from citadel.store.sql.revisions import SqlRevisions
from citadel.store.sql.sandboxes import SqlSandboxes
from citadel.store.sql.signals import SqlSignals
from citadel.store.sql.tool_checks import SqlToolChecks

#: More sandboxes than any cluster has.
_UNBOUNDED = 2**31 - 1


class Database:
    """A journal, its sandboxes and their pools on one set of connections."""

    def __init__(self, connections: Connections, notices: Notices, per_namespace: int) -> None:
        self._connections = connections
        self.journal = SqlJournal(connections, notices, per_namespace)
        self.sandboxes = SqlSandboxes(connections, notices)
        self.pools = SqlPools(connections, notices)
        self.policies = SqlPolicies(connections)
        self.connections = SqlConnectionLog(connections)
        self.revisions = SqlRevisions(connections)
        self.archive = SqlArchive(connections)
        self.approvals = SqlApprovals(connections, notices)
        self.signals = SqlSignals(connections, notices)
        self.admissions = SqlAdmissions(connections)
        self.model_calls = SqlModelCalls(connections, notices)
        self.model_grants = SqlModelGrants(connections, notices)
        self.model_records = SqlModelRecords(connections)
        self.tool_calls = SqlToolCalls(connections, notices)
        self.tool_checks = SqlToolChecks(connections, notices)
        self.conversations = SqlConversations(connections)
        self.ledger = SqlLedger(connections)

    def follow(self, told: Callable[[Advance], None]) -> None:
        """Tells of each advance that is committed here."""
        self.journal.told = told

    def blobs(self, limits: BlobLimits, objects: Objects | None = None) -> SqlBlobs:
        """What is kept by digest."""
        return SqlBlobs(self._connections, limits, objects)

    async def ping(self) -> None:
        """Returns when the database answers and has a schema; raises JournalUnavailable."""

        async def work(connection: Connection) -> None:
            await connection.execute(text("SELECT 1 FROM executions LIMIT 1"))

        await self._connections.read(work)

    async def create_schema(self) -> None:
        """Creates the tables that are not there: for SQLite, whose files nobody migrates."""

        async with self._connections.engine.begin() as connection:
            await connection.run_sync(t.metadata.create_all)

    async def close(self) -> None:
        """Closes the connections."""
        await self._connections.close()


def open_database(url: str, pool_size: int = 8, per_namespace: int = _UNBOUNDED) -> Database:
    """The database of a URL (`postgresql://…` or `sqlite:///file`); it connects when it is used.

    A namespace that has `per_namespace` live sandboxes claims none from a pool.
    """
    parsed = parse_url(url)
    connections = Connections(make_engine(parsed), pool_size)
    if not connections.postgres:
        return Database(connections, LocalNotices(), per_namespace)
    # psycopg is not installed where SQLite is enough.
    from citadel.store.sql.listening import PostgresNotices

    return Database(connections, PostgresNotices(parsed), per_namespace)
