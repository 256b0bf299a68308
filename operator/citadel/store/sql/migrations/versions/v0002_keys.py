"""Sandboxes register with a key of their own; the cluster's keys are of no use any more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sandboxes", sa.Column("key_hash", sa.Text(), nullable=True))
    op.drop_table("cluster_keys")


def downgrade() -> None:
    op.create_table(
        "cluster_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="cluster_keys_pkey"),
    )
    op.drop_column("sandboxes", "key_hash")
