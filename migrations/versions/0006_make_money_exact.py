"""Make money exact: floats become NUMERIC(12, 2), to the cent.

A float has 15 digits, which hold each of these amounts to the cent, so neither direction loses
one. For PostgreSQL the revision says how to round. MariaDB rounds by itself. SQLite has no exact
numbers and keeps what it is given, so there an UPDATE rounds.
"""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    exact = sa.Numeric(12, 2)
    helpers.alter_column(
        "bills", "amount", type_=exact, postgresql_using="round(amount::numeric, 2)"
    )
    helpers.alter_column(
        "bills",
        "paid",
        type_=exact,
        server_default="0",
        postgresql_using="round(paid::numeric, 2)",
    )
    if helpers.get_context().dialect.name == "sqlite":
        helpers.execute("UPDATE bills SET amount = ROUND(amount, 2), paid = ROUND(paid, 2)")


def downgrade() -> None:
    helpers.alter_column("bills", "paid", type_=sa.Double(), server_default="0")
    helpers.alter_column("bills", "amount", type_=sa.Double())
