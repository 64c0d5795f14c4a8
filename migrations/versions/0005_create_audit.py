"""Create audit: what was done, when, and for whom.

The trail outlives the user (SET NULL), and is read by date. Later revisions also keep here what the
schema below them has no column for, so that an upgrade after a downgrade finds it again.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("user_id", sa.Integer),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("detail", sa.String(200)),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_audit_user_id", ondelete="SET NULL"
        ),
    )
    helpers.create_index("ix_audit_at", "audit", ["at"])


def downgrade() -> None:
    helpers.drop_table("audit")
