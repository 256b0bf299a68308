"""What lets agents ask models, and what those answered."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_grants",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("hosts", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.JSON(), nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=True),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["uid"], ["executions.uid"], name="model_grants_uid_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", name="model_grants_pkey"),
    )
    op.create_index("model_grants_token_hash_idx", "model_grants", ["token_hash"])
    op.create_table(
        "model_records",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["uid"], ["executions.uid"], name="model_records_uid_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", "digest", name="model_records_pkey"),
    )


def downgrade() -> None:
    op.drop_table("model_records")
    op.drop_table("model_grants")
