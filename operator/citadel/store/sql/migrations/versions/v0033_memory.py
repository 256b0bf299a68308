"""What agents remember of conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_KEY = ("namespace", "agent", "conversation")


def _key() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in _KEY]


def upgrade() -> None:
    op.create_table(
        "conversations",
        *_key(),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("covers", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name="conversations_pkey"),
    )
    op.create_table(
        "conversation_turns",
        *_key(),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            _KEY,
            [f"conversations.{name}" for name in _KEY],
            name="conversation_turns_namespace_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(*_KEY, "n", name="conversation_turns_pkey"),
    )
    op.create_table(
        "recollections",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *_key(),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("history", sa.JSON(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("new_summary", sa.Text(), nullable=True),
        sa.Column("new_covers", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["uid"], ["executions.uid"], name="recollections_uid_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", name="recollections_pkey"),
    )
    op.create_index("recollections_key_idx", "recollections", list(_KEY))


def downgrade() -> None:
    op.drop_table("recollections")
    op.drop_table("conversation_turns")
    op.drop_table("conversations")
