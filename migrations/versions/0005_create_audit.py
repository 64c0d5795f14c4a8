"""Create audit: what was done, when, and for whom.

A user's rows are kept when the user is deleted (SET NULL); the application reads the table by
date. Downgrades of later revisions also keep here what the older schema has no column for, so
that the next upgrade can bring it back.
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
