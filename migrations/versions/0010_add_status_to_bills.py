"""Add status to bills: open, paid or cancelled.

The enum is a type on PostgreSQL, a part of the column on MariaDB, and a check on SQLite. Which
bills are paid follows from the payments. Which were cancelled the audit trail knows, after a
downgrade.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


bills = sa.table(
    "bills",
    sa.column("id", sa.Integer),
    sa.column("user_id", sa.Integer),
    sa.column("status", sa.String),
)
audit = sa.table(
    "audit",
    sa.column("at", sa.DateTime),
    sa.column("user_id", sa.Integer),
    sa.column("action", sa.String),
)
kept = "cancelled bill "
is_kept = audit.c.action == kept + sa.cast(bills.c.id, sa.String(12))
statuses = ("open", "paid", "cancelled")


def upgrade() -> None:
    helpers.create_enum("bill_status", statuses)
    status = sa.Enum(*statuses, name="bill_status", create_constraint=True)
    helpers.add_column("bills", sa.Column("status", status, nullable=False, server_default="open"))
    helpers.execute(
        "UPDATE bills SET status = 'paid' WHERE amount <= (SELECT SUM(amount) FROM payments"
        " WHERE payments.bill_id = bills.id)"
    )
    bills.c.status.type = status
    helpers.execute(sa.update(bills).values(status="cancelled").where(sa.exists().where(is_kept)))
    helpers.execute(sa.delete(audit).where(audit.c.action.startswith(kept)))


def downgrade() -> None:
    helpers.execute(
        sa.insert(audit).from_select(
            ["at", "user_id", "action"],
            sa.select(
                sa.func.current_timestamp(),
                bills.c.user_id,
                kept + sa.cast(bills.c.id, sa.String(12)),
            )
            .where(bills.c.status == sa.text("'cancelled'"))
            .where(~sa.exists().where(is_kept))
            .order_by(bills.c.id),
        ),
        # the column is gone already if a run was killed before Alembic noted the revision
        if_exists=bills.c.status,
    )
    helpers.drop_column("bills", "status")
    helpers.drop_enum("bill_status")
