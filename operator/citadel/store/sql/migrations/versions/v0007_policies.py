"""The policies of each namespace, for the gateway; what sandboxes found of the network around them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", name="policies_pkey"),
    )
    op.add_column("sandboxes", sa.Column("isolated", sa.Boolean(), nullable=True))
    op.add_column("sandboxes", sa.Column("answered", sa.Text(), nullable=True))
    op.add_column("sandboxes", sa.Column("pids", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for column in ("pids", "answered", "isolated"):
        op.drop_column("sandboxes", column)
    op.drop_table("policies")
