"""Index open bills by the day they are due, without blocking payments.

The index is built concurrently, and has a revision of its own, because PostgreSQL cannot do that
in a transaction: the verb commits what came before. A build that fails leaves an INVALID index;
running the revision again repairs it. SQLite has partial indexes too; on MariaDB the index has
every bill.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.create_index(
        "ix_bills_open_due",
        "bills",
        ["due"],
        postgresql_where=sa.text("status = 'open'"),
        sqlite_where=sa.text("status = 'open'"),
        postgresql_concurrently=True,
    )


def downgrade() -> None:
    helpers.drop_index("ix_bills_open_due", "bills", postgresql_concurrently=True)
