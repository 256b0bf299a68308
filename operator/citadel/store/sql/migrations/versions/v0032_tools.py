"""Calls of tools that are to be made, and checks of what MCP servers have."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def _work() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.JSON(), nullable=True),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=True),
    )


def upgrade() -> None:
    op.create_table(
        "tool_calls",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        *_work(),
        sa.Column("sent", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="tool_calls_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", name="tool_calls_pkey"),
    )
    op.create_index("tool_calls_token_hash_idx", "tool_calls", ["token_hash"])
    op.create_table(
        "tool_checks",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        *_work(),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("answered", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "name", name="tool_checks_pkey"),
    )
    op.create_index("tool_checks_token_hash_idx", "tool_checks", ["token_hash"])


def downgrade() -> None:
    op.drop_table("tool_checks")
    op.drop_table("tool_calls")
