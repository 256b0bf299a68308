"""The tables. Times are seconds since the epoch on the database's clock, as double precision.

`events` is the truth; everything else but `values`, `logs`, `connections` and `definitions` can be made again
from it. JSON columns are `json`, not `jsonb`: they are read whole, and keep every escape.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

definitions = Table(
    "definitions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", JSON, nullable=False),
)

executions = Table(
    "executions",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("definition", Text, ForeignKey("definitions.digest")),
    Column("seq", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("wake_at", Double),
    # When its object was found to be gone: from then on it is one of the archive.
    Column("deleted_at", Double),
)
Index("executions_namespace_name_idx", executions.c.namespace, executions.c.name)
Index("executions_definition_idx", executions.c.definition)
for _name, _column, _which in (
    ("executions_wake_at_idx", executions.c.wake_at, executions.c.wake_at.is_not(None)),
    ("executions_finished_at_idx", executions.c.finished_at, executions.c.finished_at.is_not(None)),
    ("executions_unfinished_idx", executions.c.created_at, executions.c.finished_at.is_(None)),
):
    Index(_name, _column, postgresql_where=_which, sqlite_where=_which)
_archived = executions.c.deleted_at.is_not(None)
Index(
    "executions_archived_idx",
    executions.c.namespace,
    executions.c.created_at,
    postgresql_where=_archived,
    sqlite_where=_archived,
)


def _of_execution() -> Column[str]:
    return Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), primary_key=True)


events = Table(
    "events",
    metadata,
    _of_execution(),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text),
    Column("data", JSON, nullable=False),
    UniqueConstraint("uid", "key"),
)

values = Table(
    "values",
    metadata,
    _of_execution(),
    Column("digest", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    _of_execution(),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sandbox", Text),
    Column("reason", Text),
    Column("message", Text),
    Column("started_at", Double),
    Column("finished_at", Double),
)

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("name", Text, primary_key=True),
    # None: a member of a pool that nobody has claimed.
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE")),
    Column("namespace", Text, nullable=False),
    Column("execution", Text, nullable=False),
    Column("placement", Text, nullable=False),
    Column("template", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("wanted_at", Double, nullable=False),
    Column("pod_uid", Text),
    Column("key_hash", Text),
    Column("session_hash", Text),
    Column("public_key", Text),
    Column("heartbeat_at", Double),
    Column("immediate", Boolean, nullable=False),
    Column("isolated", Boolean),
    Column("answered", Text),
    Column("pool", Text),
    Column("claimed_at", Double),
)
Index("sandboxes_uid_idx", sandboxes.c.uid)
_unclaimed = sandboxes.c.uid.is_(None)
Index(
    "sandboxes_pool_idx",
    sandboxes.c.pool,
    sandboxes.c.wanted_at,
    postgresql_where=_unclaimed,
    sqlite_where=_unclaimed,
)
_poolable = and_(sandboxes.c.uid.is_not(None), sandboxes.c.pool.is_not(None))
Index("sandboxes_demand_idx", sandboxes.c.wanted_at, postgresql_where=_poolable, sqlite_where=_poolable)
Index(
    "sandboxes_wanted_at_idx",
    sandboxes.c.wanted_at,
    postgresql_where=sandboxes.c.status != "gone",
    sqlite_where=sandboxes.c.status != "gone",
)

policies = Table(
    "policies",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("body", JSON, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sandbox", Text, ForeignKey("sandboxes.name", ondelete="CASCADE"), primary_key=True),
    Column("uid", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("placing", Integer, nullable=False),
    Column("sealed", JSON(none_as_null=True)),
)

approvals = Table(
    "approvals",
    metadata,
    _of_execution(),
    Column("step", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("deadline", Double),
    Column("ended_at", Double),
    Column("decided_by", Text),
    Column("reason", Text),
    Column("object", Text),
)
Index("approvals_namespace_name_idx", approvals.c.namespace, approvals.c.name)
_pending = approvals.c.phase == "Pending"
Index("approvals_pending_idx", approvals.c.opened_at, postgresql_where=_pending, sqlite_where=_pending)

admissions = Table(
    "admissions",
    metadata,
    _of_execution(),
    # What the group is of: a namespace.
    Column("among", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("queued_at", Double, nullable=False),
    Column("most", Integer, nullable=False),
    Column("admitted_at", Double),
)
Index(
    "admissions_group_idx",
    *(admissions.c[name] for name in ("among", "group", "since", "queued_at", "uid")),
)

signals = Table(
    "signals",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    UniqueConstraint("uid", "name", "key"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    # Names its pieces below, or its object.
    Column("body", Text, nullable=False),
    Column("remote", Boolean, nullable=False),
    # When it was stored last: what nothing names is kept for a while after that.
    Column("stored_at", Double, nullable=False),
)

blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column("body", Text, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("stored_at", Double, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    _of_execution(),
    Column("step", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
)
Index("artifacts_namespace_digest_idx", artifacts.c.namespace, artifacts.c.digest)

builds = Table(
    "builds",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("program", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("used_at", Double, nullable=False),
)
Index("builds_namespace_program_idx", builds.c.namespace, builds.c.program)

cached = Table(
    "cached",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("output", LargeBinary, nullable=False),
    # The name of the one that gave it.
    Column("execution", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
Index("cached_expires_at_idx", cached.c.expires_at)

cached_artifacts = Table(
    "cached_artifacts",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    ForeignKeyConstraint(["namespace", "key"], ["cached.namespace", "cached.key"], ondelete="CASCADE"),
)
Index("cached_artifacts_namespace_digest_idx", cached_artifacts.c.namespace, cached_artifacts.c.digest)


def _work() -> tuple[Column[Any], ...]:
    """What others are to do, one at a time."""
    return (
        Column("body", JSON, nullable=False),
        # Credentials, readable by those alone who do it.
        Column("sealed", JSON(none_as_null=True)),
        # Where that may be asked, as host:port.
        Column("hosts", JSON, nullable=False),
        Column("placed_at", Double, nullable=False),
        # Who does it now, until when nobody else may, and what it shows the egress proxy.
        Column("holder", Text),
        Column("lease_until", Double),
        Column("token_hash", Text),
    )


def _call() -> tuple[Column[Any], ...]:
    """What an attempt waits for: placed by the controller, taken by another process, gone with the answer."""
    return (
        _of_execution(),
        Column("step", Text, primary_key=True),
        Column("attempt", Integer, primary_key=True, autoincrement=False),
        Column("namespace", Text, nullable=False),
        *_work(),
    )


model_calls = Table("model_calls", metadata, *_call())
Index("model_calls_token_hash_idx", model_calls.c.token_hash)

tool_calls = Table(
    "tool_calls",
    metadata,
    *_call(),
    # What may have had its effect: nobody makes such a call twice.
    Column("sent", Boolean, nullable=False, server_default=false()),
)
Index("tool_calls_token_hash_idx", tool_calls.c.token_hash)

# Which functions MCP servers have: the check that is wanted of a Tool, and what came of the last one.
tool_checks = Table(
    "tool_checks",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    *_work(),
    Column("waiting", Boolean, nullable=False),
    Column("answered", Text),
    Column("answered_at", Double),
    Column("result", JSON(none_as_null=True)),
)
Index("tool_checks_token_hash_idx", tool_checks.c.token_hash)

# What is spent or reserved together; the sum of its reservations.
model_accounts = Table(
    "model_accounts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE")),
    Column("cost", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("changed_at", Double, nullable=False),
)
Index("model_accounts_uid_idx", model_accounts.c.uid)

# The ledger: one row for each call of a provider, reserved, then settled or charged.
model_reservations = Table(
    "model_reservations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), nullable=False),
    Column("step", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False, server_default=""),
    Column("at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("accounts", JSON, nullable=False),
)
Index(
    "model_reservations_uid_step_attempt_idx",
    model_reservations.c.uid,
    model_reservations.c.step,
    model_reservations.c.attempt,
)
Index("model_reservations_model_at_idx", model_reservations.c.model, model_reservations.c.at)

# What lets attempts of agent steps ask models: placed by the controller, gone with the attempt.
model_grants = Table(
    "model_grants",
    metadata,
    _of_execution(),
    Column("step", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("namespace", Text, nullable=False),
    Column("body", JSON, nullable=False),
    # Where it may be asked, as host:port.
    Column("hosts", JSON, nullable=False),
    # Credentials and the egress token, readable by the model gateways alone.
    Column("sealed", JSON(none_as_null=True)),
    Column("token_hash", Text),
    Column("placed_at", Double, nullable=False),
    # Calls that were begun, and those that were answered.
    Column("turns", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
)
Index("model_grants_token_hash_idx", model_grants.c.token_hash)

# What models answered to agents, by what they were asked.
model_records = Table(
    "model_records",
    metadata,
    _of_execution(),
    Column("step", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    # Only where the namespace has its prompts recorded.
    Column("request", JSON(none_as_null=True)),
)

# What agents remember: conversations, their messages since the summary, what attempts were given of them.
_CONVERSATION = ("namespace", "agent", "conversation")

conversations = Table(
    "conversations",
    metadata,
    *(Column(name, Text, primary_key=True) for name in _CONVERSATION),
    Column("last", BigInteger, nullable=False),
    Column("covers", BigInteger, nullable=False),
    Column("summary", Text),
    Column("created_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
)

conversation_turns = Table(
    "conversation_turns",
    metadata,
    *(Column(name, Text, primary_key=True) for name in _CONVERSATION),
    Column("n", BigInteger, primary_key=True),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    # Where it was said; it outlives that.
    Column("uid", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    ForeignKeyConstraint(
        _CONVERSATION, [f"conversations.{name}" for name in _CONVERSATION], ondelete="CASCADE"
    ),
)

recollections = Table(
    "recollections",
    metadata,
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    *(Column(name, Text, nullable=False) for name in _CONVERSATION),
    Column("prompt", Text, nullable=False),
    Column("history", JSON, nullable=False),
    # The number of the first message of it.
    Column("first", BigInteger, nullable=False),
    Column("summary", Text),
    Column("new_summary", Text),
    Column("new_covers", BigInteger),
)
Index("recollections_key_idx", *(recollections.c[name] for name in _CONVERSATION))

logs = Table(
    "logs",
    metadata,
    # In the order of arrival: what a follower pages by.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), nullable=False),
    Column("step", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("n", Integer, nullable=False),
    Column("stream", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("uid", "step", "attempt", "n"),
)

connections = Table(
    "connections",
    metadata,
    # Of the proxy's making: what it tells again takes the place of what it told.
    Column("id", Text, primary_key=True),
    Column("uid", Text, ForeignKey("executions.uid", ondelete="CASCADE"), nullable=False),
    Column("step", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sandbox", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("seconds", Double),
)
Index("connections_uid_at_idx", connections.c.uid, connections.c.at)
