"""Rename title to description, which is what everybody calls it.

Old code fails after this revision. That is fine for one program that is stopped meanwhile. If the
code runs on many machines, add the new column, write both, and drop the old one later.
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
