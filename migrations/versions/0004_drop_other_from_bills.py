"""Drop other from bills: nobody ever wrote a remark.

The downgrade adds the column again, but it is empty: its values are lost. Drop a column only when
no deployed code reads it any more.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
irreversible = "what other held is gone with the column"


def upgrade() -> None:
    helpers.drop_column("bills", "other")


def downgrade() -> None:
    helpers.add_column("bills", sa.Column("other", sa.String(200)))
