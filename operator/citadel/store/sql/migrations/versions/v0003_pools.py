"""Sandboxes wait in pools, without an execution; what nobody read of them is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sandboxes", sa.Column("pool", sa.Text(), nullable=True))
    op.add_column("sandboxes", sa.Column("claimed_at", sa.Double(), nullable=True))
    op.alter_column("sandboxes", "uid", nullable=True)
    op.drop_column("sandboxes", "waiting")
    op.create_index(
        "sandboxes_pool_idx",
        "sandboxes",
        ["pool", "wanted_at"],
        unique=False,
        postgresql_where=sa.text("uid IS NULL"),
    )
    op.create_index(
        "sandboxes_demand_idx",
        "sandboxes",
        ["wanted_at"],
        unique=False,
        postgresql_where=sa.text("uid IS NOT NULL AND pool IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("DELETE FROM sandboxes WHERE uid IS NULL")
    op.drop_index("sandboxes_demand_idx", "sandboxes")
    op.drop_index("sandboxes_pool_idx", "sandboxes")
    op.add_column("sandboxes", sa.Column("waiting", sa.Text(), nullable=True))
    op.alter_column("sandboxes", "uid", nullable=False)
    op.drop_column("sandboxes", "claimed_at")
    op.drop_column("sandboxes", "pool")
