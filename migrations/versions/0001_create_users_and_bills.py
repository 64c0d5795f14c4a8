"""Create users and bills: who owes what, and until when.

The first schema has typical faults: money in floats, an e-mail that may be there twice, no
history of payments. Later revisions mend all three.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("email", sa.String(120)),
    )
    helpers.create_table(
        "bills",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("paid", sa.Double, nullable=False, server_default="0"),
        sa.Column("due", sa.Date, nullable=False),
        sa.Column("created_on", sa.Date),
        sa.CheckConstraint("amount > 0", name="ck_bills_amount_positive"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_bills_user_id", ondelete="CASCADE"
        ),
    )
    helpers.create_index("ix_bills_user_id", "bills", ["user_id"])


def downgrade() -> None:
    helpers.drop_table("bills")
    helpers.drop_table("users")
