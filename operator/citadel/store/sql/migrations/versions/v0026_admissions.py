"""Executions of concurrency groups: who waits for its turn, and who has it."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admissions",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("among", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("admitted_at", sa.Double()),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="admissions_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", name="admissions_pkey"),
    )
    op.create_index("admissions_group_idx", "admissions", ["among", "group", "since", "queued_at", "uid"])


def downgrade() -> None:
    op.drop_table("admissions")
