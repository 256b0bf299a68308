"""Who provides the Model of each call: what is scripted says so wherever its tokens are told."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    provider = sa.Column("provider", sa.Text(), nullable=False, server_default="")
    op.add_column("model_reservations", provider)


def downgrade() -> None:
    op.drop_column("model_reservations", "provider")
