"""Content by digest: programs, files and trees, with what attempts left and what was built before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("remote", sa.Boolean(), nullable=False),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest", name="blobs_pkey"),
    )
    op.create_table(
        "blob_pieces",
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stored_at", sa.Double(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("body", "n", name="blob_pieces_pkey"),
    )
    op.create_table(
        "artifacts",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["uid"], ["executions.uid"], name="artifacts_uid_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", "step", "attempt", "name", name="artifacts_pkey"),
    )
    op.create_index("artifacts_namespace_digest_idx", "artifacts", ["namespace", "digest"], unique=False)
    op.create_table(
        "builds",
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "key", name="builds_pkey"),
    )
    op.create_index("builds_namespace_program_idx", "builds", ["namespace", "program"], unique=False)
    # The pieces of a blob are packed as they are: compressing them again costs more than it saves.
    op.execute("ALTER TABLE blob_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in ("builds", "artifacts", "blob_pieces", "blobs"):
        op.drop_table(table)
