"""Executions whose objects are gone are listed by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.create_index(
        "executions_archived_idx",
        "executions",
        ["namespace", "created_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("executions_archived_idx", "executions")
    op.drop_column("executions", "deleted_at")
