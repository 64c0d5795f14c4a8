"""A generated history of revisions, twice: through ``alembic_helpers`` and through ``alembic.op``.

The bodies are the same but for the import.  They are what hand-written histories are made of: see
``SHARES``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

IMPORTS = {"helpers": "import alembic_helpers as op", "plain": "from alembic import op"}
ENV = """\
from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = '''\
"""Revision {number}"""

import sqlalchemy as sa
{imported}

revision = "{number:04}"
down_revision = {before!r}
branch_labels = None
depends_on = None


def upgrade():
    {up}


def downgrade():
    {down}
'''

Body = tuple[list[str], list[str]]  # the lines of upgrade() and of downgrade()


@dataclass
class Table:
    """What the history has made of a table so far: columns, and those in a unique constraint."""

    name: str
    columns: list[str]
    unique: set[str] = field(default_factory=set)
    width: int = 50  # of its name


def write(directory: Path, revisions: int) -> dict[str, Path]:
    """Write both histories; return the directory of each."""
    bodies = _bodies(revisions)
    for name, imported in IMPORTS.items():
        versions = directory / name / "versions"
        versions.mkdir(parents=True)
        (directory / name / "env.py").write_text(ENV)
        for number, (up, down) in enumerate(bodies, 1):
            text = REVISION.format(
                number=number,
                imported=imported,
                before=f"{number - 1:04}" if number > 1 else None,
                up="\n    ".join(up),
                down="\n    ".join(down),
            )
            (versions / f"{number:04}.py").write_text(text)
    return {name: directory / name for name in IMPORTS}


def _bodies(revisions: int) -> list[Body]:
    chance, tables = random.Random(1), [Table("t0", ["id", "name", "amount"])]
    first = _create_table(tables[0], None)
    kinds = chance.choices(list(SHARES), [share for share, _ in SHARES.values()], k=revisions - 1)
    return [
        first,
        *(SHARES[kind][1](number, tables, chance) for number, kind in enumerate(kinds, 1)),
    ]


def _create_table(table: Table, parent: Table | None) -> Body:
    name = table.name
    lines = [
        f'"{name}"',
        'sa.Column("id", sa.Integer(), primary_key=True)',
        'sa.Column("name", sa.String(50), nullable=False)',
        'sa.Column("amount", sa.Numeric(12, 2), server_default="0", nullable=False)',
        'sa.Column("made_at", sa.DateTime(), server_default=sa.func.now())',
    ]
    if parent is not None:
        lines.append('sa.Column("parent_id", sa.Integer())')
        target = f'["parent_id"], ["{parent.name}.id"], name="fk_{name}_parent"'
        lines.append(f"sa.ForeignKeyConstraint({target})")
    indexed = ["name", "made_at"][: 1 + len(name) % 2]
    create = [f"op.create_table({', '.join(lines)})"]
    create += [
        f'op.create_index("ix_{name}_{column}", "{name}", ["{column}"])' for column in indexed
    ]
    drop = [f'op.drop_index("ix_{name}_{column}", "{name}")' for column in indexed]
    return create, [*drop, f'op.drop_table("{name}")']


def _new_table(number: int, tables: list[Table], chance: random.Random) -> Body:
    parent = chance.choice(tables)
    tables.append(Table(f"t{number}", ["id", "name", "amount"]))
    return _create_table(tables[-1], parent)


def _new_column(number: int, tables: list[Table], chance: random.Random) -> Body:
    table = chance.choice(tables)
    types = ["sa.Integer()", "sa.String(40)", "sa.Date()", "sa.Boolean()", "sa.Numeric(10, 2)"]
    more = chance.choice(["", "", ', server_default="0", nullable=False'])
    type_ = "sa.Integer()" if more else chance.choice(types)
    table.columns.append(f"c{number}")
    column = f'sa.Column("c{number}", {type_}{more})'
    return (
        [f'op.add_column("{table.name}", {column})'],
        [f'op.drop_column("{table.name}", "c{number}")'],
    )


def _new_index(number: int, tables: list[Table], chance: random.Random) -> Body:
    table = chance.choice(tables)
    column = chance.choice(table.columns[1:])
    index = f'"ix_{number}", "{table.name}"'
    return [f'op.create_index({index}, ["{column}", "id"])'], [f"op.drop_index({index})"]


def _batch(table: str, *lines: str) -> list[str]:
    return [
        f'with op.batch_alter_table("{table}") as batch:',
        *(f"    batch.{line}" for line in lines),
    ]


def _altered(number: int, tables: list[Table], chance: random.Random) -> Body:
    table = chance.choice(tables)
    narrow, wide = f"sa.String({table.width})", f"sa.String({table.width + 1})"
    table.width += 1
    alter = 'alter_column("name", existing_type={}, type_={}, existing_nullable=False)'
    return (
        _batch(table.name, alter.format(narrow, wide)),
        _batch(table.name, alter.format(wide, narrow)),
    )


def _new_unique(number: int, tables: list[Table], chance: random.Random) -> Body:
    # Two over the same columns are one to SQLAlchemy, which then loses the other's name on SQLite.
    free = [table for table in tables if set(table.columns[1:]) - table.unique]
    table = chance.choice(free)
    column = chance.choice([name for name in table.columns[1:] if name not in table.unique])
    table.unique.add(column)
    columns = f'["{column}", "id"]'
    return (
        _batch(table.name, f'create_unique_constraint("uq_{number}", {columns})'),
        _batch(table.name, f'drop_constraint("uq_{number}", type_="unique")'),
    )


def _data(number: int, tables: list[Table], chance: random.Random) -> Body:
    name = chance.choice(tables).name
    key = 100_000 + number  # what a round trip fills in is below it
    up = [
        f"INSERT INTO {name} (id, name) VALUES ({key}, 'n{number}')",
        f"UPDATE {name} SET amount = -amount",  # which a float, too, comes back from
    ]
    down = [f"UPDATE {name} SET amount = -amount", f"DELETE FROM {name} WHERE id = {key}"]
    return [f'op.execute("{sql}")' for sql in up], [f'op.execute("{sql}")' for sql in down]


def _renamed(number: int, tables: list[Table], chance: random.Random) -> Body:
    table = chance.choice(tables)
    old, new = table.name, f"r{number}"
    table.name = new
    return [f'op.rename_table("{old}", "{new}")'], [f'op.rename_table("{new}", "{old}")']


def _dropped(number: int, tables: list[Table], chance: random.Random) -> Body:
    """Drop what this revision and the one before it would not need: a column made for it."""
    table = chance.choice(tables)
    column = f'"{table.name}", sa.Column("d{number}", sa.String(10))'
    return (
        [f"op.add_column({column})", f'op.drop_column("{table.name}", "d{number}")'],
        [f"op.add_column({column})", f'op.drop_column("{table.name}", "d{number}")'],
    )


SHARES: dict[str, tuple[int, Callable[[int, list[Table], random.Random], Body]]] = {
    "create_table": (25, _new_table),  # with a foreign key, and one or two indexes
    "add_column": (30, _new_column),
    "create_index": (16, _new_index),
    "alter_column": (14, _altered),  # in a batch
    "unique": (7, _new_unique),  # in a batch
    "data": (5, _data),
    "rename_table": (2, _renamed),
    "drop_column": (1, _dropped),
}
