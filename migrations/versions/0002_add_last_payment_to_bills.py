"""Add last_payment to bills, because the application asks for it.

The model gained the attribute first, and every query failed with "no such column". Nullable, with
no default: old and new code both work while this is deployed.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.add_column("bills", sa.Column("last_payment", sa.Date))
    helpers.create_index("ix_bills_last_payment", "bills", ["last_payment"])


def downgrade() -> None:
    helpers.drop_index("ix_bills_last_payment", "bills")
    helpers.drop_column("bills", "last_payment")
