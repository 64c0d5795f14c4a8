"""The statements that code for a schema runs, derived from the schema itself.

SELECT of all columns; INSERT with all values, with the required ones alone, with NULLs; UPDATE of
each column; DELETE; an upsert on each key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_toolkit.database.driver import identifier
from alembic_toolkit.rows.content import Rows
from alembic_toolkit.rows.filling import Filling, Row
from alembic_toolkit.rows.more import more
from alembic_toolkit.rows.servers import RowServer, server_of
from alembic_toolkit.rows.tables.table import Column, Table, Tables
from alembic_toolkit.rows.values import UNSET
from alembic_toolkit.rows.write import literal_of

_SPARE = 3  # rows beside those of the first INSERT: see `Code`


@dataclass(frozen=True)
class Use:
    """One statement, run in a savepoint with the others of its table."""

    table: str
    sql: str
    parts: tuple[str, ...] = ()  # what of it is run by itself, where it fails as a whole
    needs: tuple[str, ...] = ()  # what is run before it, where it is run by itself
    is_alone: bool = False  # it always is


@dataclass(frozen=True)
class Key:
    """A foreign key that only one of two schemas has, or that differs between them."""

    child: str
    columns: tuple[str, ...]
    parent: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class Schemas:
    """The schema that code is written for, and the other one on which it runs."""

    connection: Connection
    own: Tables
    other: Tables
    rows: Mapping[str, list[Row]]  # what is there, by table

    def uses(self, names: Iterable[str]) -> list[Use]:
        """Return the statements of code on the tables with these names."""
        found: list[Use] = []
        for name in sorted(names):
            if name in self.own:
                found += _Code(self, self.own[name]).uses()
        return found

    def orphans(self, keys: Iterable[Key]) -> list[Use]:
        """Return the statements that delete rows to which these foreign keys refer."""
        found = []
        for key in keys:
            if key.child in self.own and key.parent in self.own:
                child, parent = (_Code(self, self.own[n]) for n in (key.child, key.parent))
                found += parent.delete_with(child, key)
        return found

    def deletes(self, names: Iterable[str]) -> list[Use]:
        """Return the statements that delete rows with possible references, on these tables."""
        return [
            use
            for name in sorted(names)
            if name in self.own
            for use in _Code(self, self.own[name]).deletes()
        ]


def rows_of(wanted: AbstractSet[str], *contents: Rows) -> dict[str, list[Row]]:
    """Return the rows of tables; of the same table those of the first, then those of the others."""
    found: dict[str, list[Row]] = {}
    for rows in contents:
        for name in sorted(wanted & rows.keys()):
            content = rows[name]
            names = content.table.names
            listed = found.setdefault(name, [])
            listed += [dict(zip(names, row, strict=True)) for row in content.rows]
    return found


class _Code:
    """The statements of code on one table."""

    def __init__(self, schemas: Schemas, table: Table) -> None:
        self.connection, self.table = schemas.connection, table
        self.server: RowServer = server_of(schemas.connection)
        self.other = schemas.other.get(table.name)
        self.filling = Filling(schemas.connection, schemas.own, 0, {}, rows={**schemas.rows})
        self.existing = schemas.rows.get(table.name, [])
        own = identifier(schemas.connection, table.name)
        self.sql = own if table.sql.endswith(own) else table.sql  # as code names it
        # What code can write: not what the server computes.
        self.columns = [c for c in table.columns if not c.generated and not c.always]

    def uses(self) -> list[Use]:
        if not self.table.columns:
            return []
        columns = ", ".join(map(self._qualified, self.table.columns))
        found = [self._use(f"SELECT {columns} FROM {self.sql}")]
        rows = more(self.filling, self.table, self.other, _SPARE)
        if len(rows) <= _SPARE:
            return found
        rows, (required, null, changed) = rows[:-_SPARE], rows[-_SPARE:]
        found.append(self._use(self._insert(rows), map(self._insert_one, rows)))
        needed = [c for c in self.columns if _is_required(c)]
        found.append(self._use(self._insert([required], needed)))
        found += self._nulls(null)
        found += self._update(changed)
        found += self._upserts(rows[0])
        if where := self._where(rows[0]):  # which nothing refers to
            sql = f"DELETE FROM {self.sql} WHERE {where}"
            found.append(self._use(sql, needs=self._insert_one(rows[0])))
        return found

    def deletes(self) -> list[Use]:
        """Return the statement that deletes an existing row with possible references."""
        wheres = filter(None, map(self._where, self.existing[:1]))
        return [self._use(f"DELETE FROM {self.sql} WHERE {where}") for where in wheres]

    def delete_with(self, child: _Code, key: Key) -> list[Use]:
        """Return the statements that delete a new row to which a new row refers."""
        columns = key.target_columns or self.table.primary
        if not {*key.columns} <= {*child.table.names} or not {*columns} <= {*self.table.names}:
            return []
        parents = more(self.filling, self.table, self.other, 1)[-1:]
        children = more(child.filling, child.table, child.other, 2)[-2:-1]
        if not parents or not children or not (where := self._where(parents[0])):
            return []
        refers = zip(key.columns, columns, strict=False)
        row = children[0] | {column: parents[0].get(to) for column, to in refers}
        needs = self._insert_one(parents[0]), child._insert_one(row)
        sql = f"DELETE FROM {self.sql} WHERE {where}"
        return [Use(self.table.name, sql, needs=needs, is_alone=True)]

    def _use(self, sql: str, parts: Iterable[str] = (), needs: str = "") -> Use:
        return Use(self.table.name, sql, tuple(parts), (needs,) if needs else ())

    def _name(self, column: Column) -> str:
        return identifier(self.connection, column.name)

    def _qualified(self, column: Column) -> str:
        """Return a column with its table: SQLite takes a name alone for a text if it has none."""
        return f"{self.sql}.{self._name(column)}"

    def _literal(self, row: Row, column: Column) -> str:
        return literal_of(self.server, row.get(column.name), column)

    def _insert_one(self, row: Row) -> str:
        return self._insert([row])

    def _insert(self, rows: Sequence[Row], columns: Sequence[Column] | None = None) -> str:
        """Write an INSERT, without the columns for which no row has a value."""
        columns = self.columns if columns is None else columns
        columns = [c for c in columns if any(r.get(c.name, UNSET) is not UNSET for r in rows)]
        if not columns:
            return f"INSERT INTO {self.sql} {self.server.no_values}"
        names = ", ".join(map(self._name, columns))
        values = ", ".join(
            f"({', '.join(self._literal(row, column) for column in columns)})" for row in rows
        )
        return f"INSERT INTO {self.sql} ({names}) VALUES {values}"

    def _nulls(self, row: Row) -> list[Use]:
        """Return an INSERT of NULLs; its parts have one each."""
        nullable = [c for c in self.columns if c.nullable and c.name not in self.table.primary]
        if not nullable:
            return []
        none = row | dict.fromkeys((column.name for column in nullable), None)
        each = [self._insert_one(row | {column.name: None}) for column in nullable]
        return [self._use(self._insert_one(none), each)]

    def _update(self, row: Row) -> list[Use]:
        """Return an UPDATE of all columns; its parts change one each."""
        columns = [c for c in self.columns if c.name not in self.table.primary]
        columns = [c for c in columns if row.get(c.name, UNSET) is not UNSET]
        values = [f"{self._name(c)} = {self._literal(row, c)}" for c in columns]
        if not values:
            return []
        where = self._where(self.existing[0]) if self.existing else ""
        head, tail = f"UPDATE {self.sql} SET", f"WHERE {where or '1 = 0'}"
        each = [f"{head} {value} {tail}" for value in values] if len(values) > 1 else []
        return [self._use(f"{head} {', '.join(values)} {tail}", each)]

    def _upserts(self, row: Row) -> list[Use]:
        """Return an upsert on each key, of a row that is there already."""
        keys = dict.fromkeys(filter(None, [self.table.primary, *self.table.uniques]))
        insert, found = self._insert_one(row), list[Use]()
        for key in [*keys][: None if self.server.names_key else 1]:
            set_ = [c for c in self.columns if c.name not in {*key, *self.table.primary}]
            names = [identifier(self.connection, name) for name in key]
            upsert = self.server.upsert(names, [*map(self._name, set_)])
            found.append(self._use(f"{insert} {upsert}", needs=insert))
        return found

    def _where(self, row: Row) -> str:
        """Write a condition for one row; empty if it has no key that code can know."""
        columns = [c for c in self.table.columns if c.name in self.table.primary]
        if not columns or any(row.get(c.name) in (None, UNSET) for c in columns):
            return ""
        return " AND ".join(f"{self._qualified(c)} = {self._literal(row, c)}" for c in columns)


def _is_required(column: Column) -> bool:
    return not (column.nullable or column.serial or column.default is not None)


_STRING = re.compile(r"'((?:[^']|'')*)'")
_LONGEST_TEXT, _LONGEST = 16, 240


def shown(sql: str) -> str:
    """Return a statement for readers, with its long strings shortened."""

    def cut(match: re.Match[str]) -> str:
        text = match[1]
        return f"'{text[: _LONGEST_TEXT - 3]}...'" if len(text) > _LONGEST_TEXT else match[0]

    text = " ".join(_STRING.sub(cut, sql).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
