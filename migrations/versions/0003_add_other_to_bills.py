"""Add other to bills, for remarks that fit nowhere else."""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.add_column("bills", sa.Column("other", sa.String(200)))


def downgrade() -> None:
    helpers.drop_column("bills", "other")
