"""The indexes that foreign keys need, and changes combined in one ALTER, as each is committed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from alembic_toolkit.database.errors import is_refusal
from alembic_toolkit.sql.create_table import is_column
from alembic_toolkit.sql.quoting import in_parentheses
from alembic_toolkit.sql.show_create import Part, read_column, read_part
from alembic_toolkit.sql.tokens import (
    closing_parenthesis,
    code_tokens,
    contains_word,
    names_in,
    split_list,
    split_parentheses,
    tokenize,
    unquoted,
)
from alembic_toolkit.verbs.ask import ask_rows
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.remedy import schema_code
from alembic_toolkit.verbs.values import Step


@contextmanager
def with_clauses(step: Step, clauses: list[str]) -> Iterator[None]:
    """Add clauses to the CREATE TABLE or ALTER TABLE that Alembic runs in the block.

    :param clauses: as SQLAlchemy compiles them, for a driver that interprets ``%``.
    """
    connection = step.database.connection

    def rewrite(_1: Any, _2: Any, sql: str, parameters: Any, _3: Any, _4: Any) -> tuple[str, Any]:
        if sql.lstrip().upper().startswith("ALTER TABLE"):
            return ", ".join([sql, *(f"ADD {clause}" for clause in clauses)]), parameters
        if not sql.lstrip().upper().startswith("CREATE"):  # the DROP of a scratch table
            return sql, parameters
        tokens = tokenize(sql)
        end = closing_parenthesis(tokens)
        items = "".join(f", {clause}" for clause in clauses)
        return "".join(tokens[:end]) + items + "".join(tokens[end:]), parameters

    sa.event.listen(connection, "before_cursor_execute", rewrite, retval=True)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_cursor_execute", rewrite)


def index_clause(step: Step, index: sa.Index) -> str:
    """Return an index as a clause of a table: https://mariadb.com/kb/en/create-table/#indexes"""
    dialect, on = step.database.dialect, index.table
    assert on is not None
    sql = str(CreateIndex(index).compile(dialect=dialect))
    table = dialect.identifier_preparer.format_table(on)
    return sql.removeprefix("CREATE ").replace(f" ON {table} (", " (", 1)


@dataclass(frozen=True)
class Key:
    """An index or a foreign key, with its columns in folded case."""

    name: str
    columns: tuple[str, ...]


def run_alter(step: Step, *clauses: str) -> None:
    """Run one ALTER TABLE: it is all or nothing."""
    step.database.run(f"ALTER TABLE {step.quoted_table} {', '.join(clauses)}")


def foreign_keys(items: list[str]) -> list[Key]:
    parts = [read_part(item) for item in items]
    return [
        Key(part.name, tuple(name.lower() for name in names_in(code_tokens(part.text))))
        for part in parts
        if part.kind == "foreign key"
    ]


def indexes(items: list[str]) -> list[Key]:
    """Return the indexes that a foreign key can use, including the primary key."""
    found = []
    for part in map(read_part, items):
        if part.kind in ("primary key", "unique", "index") and part.text.startswith("("):
            name = part.name if part.kind != "primary key" else "PRIMARY"
            found.append(Key(name, usable_columns(part.text)))
    return found


def usable_columns(text: str) -> tuple[str, ...]:
    """Return the columns of an index up to the first one with a prefix length."""
    columns: list[str] = []
    for part in split_list(split_parentheses(code_tokens(text))[0]):
        if "(" in part:
            break
        columns.append(unquoted(part[0]).lower())
    return tuple(columns)


def expressions(part: Part) -> list[str]:
    """Return the expressions in an index: MySQL's functional key parts."""
    if part.kind not in ("unique", "index") or not part.text.startswith("("):
        return []
    parts = split_list(split_parentheses(code_tokens(part.text))[0])
    return [" ".join(tokens) for tokens in parts if tokens[0] == "("]


def needed_indexes(
    step: Step, items: list[str], gone: Collection[str], gone_keys: Collection[str] = ()
) -> list[str]:
    """Return the clauses that create indexes needed by foreign keys without these ones.

    The server had its own index for the key, until the index to be dropped made it redundant:
    https://mariadb.com/kb/en/foreign-keys/
    """
    dropped = {name.lower() for name in gone}
    kept = [index for index in indexes(items) if index.name.lower() not in dropped]
    clauses = []
    for key in foreign_keys(items):
        width = len(key.columns)
        if key.name in gone_keys or any(i.columns[:width] == key.columns for i in kept):
            continue
        if key.name.lower() in dropped:
            refuse_needed(step, f"foreign key {key.name} of {step.table}", key.name, step.table)
        columns = in_parentheses(step.database.quoted(column) for column in key.columns)
        clauses.append(f"ADD INDEX {step.database.quoted(key.name)} {columns}")
        kept.append(key)
    return clauses


def own_indexes(items: list[str], name: str, columns: list[str]) -> list[str]:
    """Return the indexes of foreign keys that a new index on these columns makes redundant.

    The server drops those that it created itself.  One that was created on its behalf, because
    another index was dropped, must not stay either, so that equal steps lead to equal tables.
    """
    new = tuple(column.lower() for column in columns)
    there = indexes(items)
    return [
        key.name
        for key in foreign_keys(items)
        if key in there and new[: len(key.columns)] == key.columns and key.name != name
    ]


REFERRING = (
    "SELECT k.constraint_name AS name, k.table_schema AS own_schema, k.table_name AS own_table,"
    " LOWER(k.referenced_column_name) AS referred FROM information_schema.key_column_usage AS k"
    " WHERE k.referenced_table_schema = COALESCE(:schema, DATABASE())"
    " AND k.referenced_table_name = :table ORDER BY k.constraint_name, k.ordinal_position"
)


def referring_keys(step: Step) -> list[tuple[Key, str]]:
    """Return the foreign keys that refer to the table, and the table of each."""
    rows = ask_rows(step.database, REFERRING, step.question("referring"))
    columns: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in rows:
        key = (row["name"], row["own_table"])
        columns[key] = (*columns.get(key, ()), row["referred"])
    return [(Key(name, referred), table) for (name, table), referred in columns.items()]


def require_unreferred(
    step: Step, items: list[str], gone: Collection[str], column: str = ""
) -> None:
    """Refuse to drop an index, or a column, to which foreign keys refer."""
    dropped = {name.lower() for name in gone}
    kept = [index for index in indexes(items) if index.name.lower() not in dropped]
    for key, table in referring_keys(step):
        width = len(key.columns)
        has_other = any(set(index.columns[:width]) == set(key.columns) for index in kept)
        if column in key.columns or not has_other:
            refuse_needed(step, f"foreign key {key.name} of {table}", key.name, table)


def run_unreferred(
    step: Step, items: list[str], gone: Collection[str], *clauses: str, column: str = ""
) -> None:
    """Run one ALTER that drops an index or a column, unless foreign keys refer to it.

    To find these, MariaDB reads all tables of all databases, so they are queried only after it has
    refused the ALTER, which changes nothing.  If a session does not check foreign keys, it
    refuses nothing: https://mariadb.com/docs/server/server-management/variables-and-modes/server-system-variables#foreign_key_checks
    """
    if not step.database.fetch("SELECT @@foreign_key_checks")[0][0][0]:
        require_unreferred(step, items, gone, column)
    try:
        run_alter(step, *clauses)
    except DBAPIError as error:
        if is_refusal(error):
            require_unreferred(step, items, gone, column)
        raise


def refuse_needed(step: Step, what: str, name: str, table: str) -> NoReturn:
    names = f"{name!r}, {table!r}, type_='foreignkey'{schema_code(step.schema)}"
    refuse_used(step, what, f"helpers.drop_constraint({names})")


def require_no_computed(step: Step, items: list[str]) -> None:
    """Refuse to drop a column that a generated column is computed from."""
    for item in (item for item in items if is_column(item)):
        column = read_column(item)
        if contains_word(column.generated, str(step.name)):
            name = read_part(item).name
            names = f"{step.table!r}, {name!r}{schema_code(step.schema)}"
            what = f"generated column {name}: {column.generated}"
            refuse_used(step, what, f"helpers.drop_column({names})")


def require_uncounted(step: Step, items: list[str], gone: Collection[str]) -> None:
    """Refuse to drop the only key that begins with the auto-increment column.

    https://dev.mysql.com/doc/refman/8.4/en/create-table.html#create-table-types-attributes
    """
    kept = {index.columns[:1] for index in indexes(items) if index.name not in gone}
    for item in (item for item in items if is_column(item)):
        name = read_part(item).name
        if read_column(item).counts and (name.lower(),) not in kept:
            names = f"{step.table!r}, {name!r}, autoincrement=False{schema_code(step.schema)}"
            what = f"column {name}, which counts up and must be a key"
            refuse_used(step, what, f"helpers.alter_column({names})")


def refuse_used(step: Step, what: str, way: str) -> NoReturn:
    stop(
        UnsafeOperation,
        f"{step.call}: something else needs it.",
        (what, "nothing that needs it"),
        "Stopped, because the server would refuse it. Nothing was changed.",
        f"{way}  # before this line",
    )
