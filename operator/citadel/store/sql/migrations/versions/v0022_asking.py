"""What executions ask people, and the signals that wait to be delivered to them."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="approvals_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "step", name="approvals_pkey"),
    )
    op.create_index("approvals_namespace_name_idx", "approvals", ["namespace", "name"])
    op.create_index(
        "approvals_pending_idx",
        "approvals",
        ["opened_at"],
        postgresql_where=sa.text("phase = 'Pending'"),
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="signals_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="signals_pkey"),
        sa.UniqueConstraint("uid", "name", "key", name="signals_uid_name_key_key"),
    )


def downgrade() -> None:
    op.drop_table("signals")
    op.drop_table("approvals")
