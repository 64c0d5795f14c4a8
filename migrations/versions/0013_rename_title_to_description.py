"""Rename title to description, as everybody calls it.

Old code fails as soon as this ran: fine for one program that is stopped meanwhile. Where it runs on
many machines, add the new column, write both, and drop the old one later.
"""

import alembic_helpers as helpers

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.alter_column("bills", "title", new_column_name="description")


def downgrade() -> None:
    helpers.alter_column("bills", "description", new_column_name="title")
