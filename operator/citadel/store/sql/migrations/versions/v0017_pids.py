"""Sandboxes cannot see how many processes they may have: only the kubelet's configuration tells."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("sandboxes", "pids")


def downgrade() -> None:
    op.add_column("sandboxes", sa.Column("pids", sa.BigInteger(), nullable=True))
