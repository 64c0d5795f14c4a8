"""Make the e-mail of a user unique, although some are there twice.

The user who had an e-mail first keeps it. Those of the others move to the audit trail, where a
person can find them, and from where the downgrade brings them back. The server compares, as it
does for the constraint: for MariaDB A@example.com and a@example.com are equal.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


users = sa.table("users", sa.column("id", sa.Integer), sa.column("email", sa.String))
audit = sa.table(
    "audit",
    sa.column("at", sa.DateTime),
    sa.column("user_id", sa.Integer),
    sa.column("action", sa.String),
    sa.column("detail", sa.String),
)
kept = "email of user "
is_kept = audit.c.action == kept + sa.cast(users.c.id, sa.String(12))


def upgrade() -> None:
    first = users.alias("first")
    has_it_too = sa.exists().where(first.c.email == users.c.email, first.c.id < users.c.id)
    helpers.execute(
        sa.insert(audit).from_select(
            ["at", "user_id", "action", "detail"],
            sa.select(
                sa.func.current_timestamp(),
                users.c.id,
                kept + sa.cast(users.c.id, sa.String(12)),
                users.c.email,
            )
            .where(has_it_too)
            .order_by(users.c.id),
        )
    )
    helpers.execute(sa.update(users).values(email=None).where(sa.exists().where(is_kept)))
    helpers.create_unique_constraint("uq_users_email", "users", ["email"])


def downgrade() -> None:
    helpers.drop_constraint("uq_users_email", "users", type_="unique")
    old = sa.select(sa.func.max(audit.c.detail)).where(is_kept).scalar_subquery()
    helpers.execute(
        sa.update(users)
        .values(email=old)
        .where(users.c.email.is_(None), sa.exists().where(is_kept))
    )
    helpers.execute(sa.delete(audit).where(audit.c.action.startswith(kept)))
