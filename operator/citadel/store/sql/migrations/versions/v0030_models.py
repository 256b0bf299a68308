"""Calls of models that are to be made, and the ledger of what they take."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_calls",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.JSON(), nullable=True),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="model_calls_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", name="model_calls_pkey"),
    )
    op.create_index("model_calls_token_hash_idx", "model_calls", ["token_hash"])
    op.create_table(
        "model_accounts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=True),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["uid"], ["executions.uid"], name="model_accounts_uid_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name="model_accounts_pkey"),
    )
    op.create_index("model_accounts_uid_idx", "model_accounts", ["uid"])
    op.create_table(
        "model_reservations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("accounts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["uid"], ["executions.uid"], name="model_reservations_uid_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="model_reservations_pkey"),
    )
    op.create_index(
        "model_reservations_uid_step_attempt_idx", "model_reservations", ["uid", "step", "attempt"]
    )
    op.create_index("model_reservations_model_at_idx", "model_reservations", ["model", "at"])


def downgrade() -> None:
    op.drop_table("model_reservations")
    op.drop_table("model_accounts")
    op.drop_table("model_calls")
