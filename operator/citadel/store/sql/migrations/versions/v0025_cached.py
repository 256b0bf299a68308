"""Outputs of steps with a cache, and the artifacts that stay because of them."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cached",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("output", sa.LargeBinary(), nullable=False),
        sa.Column("execution", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "key", name="cached_pkey"),
    )
    op.create_index("cached_expires_at_idx", "cached", ["expires_at"])
    op.create_table(
        "cached_artifacts",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "key"],
            ["cached.namespace", "cached.key"],
            name="cached_artifacts_namespace_key_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("namespace", "key", "name", name="cached_artifacts_pkey"),
    )
    op.create_index("cached_artifacts_namespace_digest_idx", "cached_artifacts", ["namespace", "digest"])


def downgrade() -> None:
    op.drop_table("cached_artifacts")
    op.drop_table("cached")
