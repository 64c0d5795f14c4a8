"""Index open bills by the day they are due, without stopping those who pay.

Built concurrently, alone in its revision: PostgreSQL cannot do it in a transaction, and the verb
commits what came before. A build that fails leaves an INVALID index; running the revision again
repairs it. SQLite has partial indexes too; on MariaDB the index holds every bill.
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
