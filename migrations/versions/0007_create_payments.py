"""Create payments, and fill it from bills.paid: one bill can be paid in parts.

This is the first half of expand and contract: the sum stays in bills.paid while old code still
reads it, and the next revision drops it. DDL comes before the rows, because MariaDB commits at
each DDL statement: so the rows are committed together with the revision's number, or not at all.

The downgrade keeps each single payment in the audit trail, because bills.paid only has their sum,
and the upgrade takes them from there. What was paid in between becomes one further payment.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


bills = sa.table(
    "bills",
    sa.column("id", sa.Integer),
    sa.column("user_id", sa.Integer),
    sa.column("paid", sa.Numeric(12, 2)),
    sa.column("due", sa.Date),
    sa.column("last_payment", sa.Date),
)
payments = sa.table(
    "payments",
    sa.column("id", sa.Integer),
    sa.column("bill_id", sa.Integer),
    sa.column("amount", sa.Numeric(12, 2)),
    sa.column("paid_on", sa.Date),
)
audit = sa.table(
    "audit",
    sa.column("id", sa.Integer),
    sa.column("at", sa.DateTime),
    sa.column("user_id", sa.Integer),
    sa.column("action", sa.String),
    sa.column("detail", sa.String),
)
kept = "payment of bill "


def upgrade() -> None:
    helpers.create_table(
        "payments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bill_id", sa.Integer, nullable=False),
        sa.Column("amount", sa.Numeric(12, 2), nullable=False),
        sa.Column("paid_on", sa.Date, nullable=False),
        sa.CheckConstraint("amount > 0", name="ck_payments_amount_positive"),
        sa.ForeignKeyConstraint(
            ["bill_id"], ["bills.id"], name="fk_payments_bill_id", ondelete="CASCADE"
        ),
    )
    helpers.create_index("ix_payments_bill_id", "payments", ["bill_id"])
    helpers.execute(
        sa.insert(payments).from_select(
            ["bill_id", "amount", "paid_on"],
            sa.select(
                bills.c.id, sa.cast(audit.c.detail, sa.Numeric(12, 2)), sa.func.date(audit.c.at)
            )
            .join_from(audit, bills, audit.c.action == kept + sa.cast(bills.c.id, sa.String(12)))
            .order_by(audit.c.id),
        )
    )
    helpers.execute(sa.delete(audit).where(audit.c.action.startswith(kept)))
    known = (
        sa.select(sa.func.coalesce(sa.func.sum(payments.c.amount), 0))
        .where(payments.c.bill_id == bills.c.id)
        .scalar_subquery()
    )
    helpers.execute(
        sa.insert(payments).from_select(
            ["bill_id", "amount", "paid_on"],
            sa.select(
                bills.c.id,
                sa.func.round(bills.c.paid - known, 2),
                sa.func.coalesce(bills.c.last_payment, bills.c.due),
            )
            .where(sa.func.round(bills.c.paid - known, 2) > 0)
            .order_by(bills.c.id),
        )
    )


def downgrade() -> None:
    helpers.execute(
        sa.insert(audit).from_select(
            ["at", "user_id", "action", "detail"],
            sa.select(
                payments.c.paid_on,
                bills.c.user_id,
                kept + sa.cast(bills.c.id, sa.String(12)),
                sa.cast(payments.c.amount, sa.String(15)),
            )
            .join_from(payments, bills, bills.c.id == payments.c.bill_id)
            .where(~sa.exists().where(audit.c.action.startswith(kept)))
            .order_by(payments.c.id),
        ),
        # the table is gone already if a run was killed before Alembic noted the revision
        if_exists=payments,
    )
    helpers.drop_table("payments")
