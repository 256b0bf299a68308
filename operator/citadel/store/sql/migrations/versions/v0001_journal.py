"""The journal: executions with their log, values and steps; sandboxes, deliveries, what attempts printed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cluster_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="cluster_keys_pkey"),
    )
    op.create_table(
        "definitions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="definitions_pkey"),
    )
    op.create_table(
        "executions",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("wake_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["definition"], ["definitions.digest"], name="executions_definition_fkey"),
        sa.PrimaryKeyConstraint("uid", name="executions_pkey"),
    )
    op.create_index("executions_definition_idx", "executions", ["definition"], unique=False)
    op.create_index(
        "executions_finished_at_idx",
        "executions",
        ["finished_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index("executions_namespace_name_idx", "executions", ["namespace", "name"], unique=False)
    op.create_index(
        "executions_unfinished_idx",
        "executions",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(
        "executions_wake_at_idx",
        "executions",
        ["wake_at"],
        unique=False,
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="events_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "seq", name="events_pkey"),
        sa.UniqueConstraint("uid", "key", name="events_uid_key_key"),
    )
    op.create_table(
        "logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="logs_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="logs_pkey"),
        sa.UniqueConstraint("uid", "step", "attempt", "n", name="logs_uid_step_attempt_n_key"),
    )
    op.create_table(
        "sandboxes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("execution", sa.Text(), nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("template", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("wanted_at", sa.Double(), nullable=False),
        sa.Column("pod_uid", sa.Text(), nullable=True),
        sa.Column("session_hash", sa.Text(), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("heartbeat_at", sa.Double(), nullable=True),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column("immediate", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="sandboxes_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", name="sandboxes_pkey"),
    )
    op.create_index("sandboxes_uid_idx", "sandboxes", ["uid"], unique=False)
    op.create_index(
        "sandboxes_wanted_at_idx",
        "sandboxes",
        ["wanted_at"],
        unique=False,
        postgresql_where=sa.text("status != 'gone'"),
    )
    op.create_table(
        "steps",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sandbox", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="steps_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "name", name="steps_pkey"),
    )
    op.create_table(
        "values",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="values_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "digest", name="values_pkey"),
    )
    op.create_table(
        "deliveries",
        sa.Column("sandbox", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("placing", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sandbox"], ["sandboxes.name"], name="deliveries_sandbox_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sandbox", name="deliveries_pkey"),
    )
