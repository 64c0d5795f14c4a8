"""Require created_on: bills from the first days have none, and get the day they were due.

The rows come first, then the constraint. The downgrade allows NULL again, and keeps the days.
"""

import alembic_helpers as helpers

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.execute("UPDATE bills SET created_on = due WHERE created_on IS NULL")
    helpers.alter_column("bills", "created_on", nullable=False)


def downgrade() -> None:
    helpers.alter_column("bills", "created_on", nullable=True)
