"""Drop paid from bills: the payments have the sum, and a second copy of it would come to differ.

This is the second half of expand and contract: deploy it when no running code reads the column
any more. The downgrade computes the sums from the payments.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.drop_column("bills", "paid")


def downgrade() -> None:
    helpers.add_column(
        "bills", sa.Column("paid", sa.Numeric(12, 2), nullable=False, server_default="0")
    )
    helpers.execute(
        "UPDATE bills SET paid = (SELECT COALESCE(SUM(amount), 0) FROM payments"
        " WHERE payments.bill_id = bills.id)"
    )
