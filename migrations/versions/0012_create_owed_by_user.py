"""Create the view owed_by_user: what is left to pay of the open bills."""

import alembic_helpers as helpers

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    helpers.create_view(
        "owed_by_user",
        """
        SELECT users.id AS user_id, users.name AS name,
               SUM(bills.amount - COALESCE(paid.amount, 0)) AS owed
        FROM users
        JOIN bills ON bills.user_id = users.id
        LEFT JOIN (SELECT bill_id, SUM(amount) AS amount FROM payments GROUP BY bill_id) AS paid
          ON paid.bill_id = bills.id
        WHERE bills.status = 'open'
        GROUP BY users.id, users.name
        HAVING SUM(bills.amount - COALESCE(paid.amount, 0)) > 0
        """,
    )


def downgrade() -> None:
    helpers.drop_view("owed_by_user")
