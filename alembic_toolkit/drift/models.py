"""The contents of models: tables, mapped classes, and names."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.util import to_tuple
from sqlalchemy.orm import mapperlib

from alembic_toolkit.drift.servers import DriftServer


def of(context: MigrationContext, given: Any = None) -> tuple[tuple[sa.MetaData, ...], str]:
    """Return ``env.py``'s metadata, or else the given one; and why there is none.

    :param given: metadata, or ``package.module:name``.
    """
    if isinstance(given, str) and not context.opts.get("target_metadata"):
        module, _, name = given.partition(":")
        given = operator.attrgetter(name)(importlib.import_module(module))
    metadata = context.opts.get("target_metadata") or given
    if not metadata:
        return (), "env.py gives no target_metadata, and pyproject.toml none"
    found = to_tuple(metadata)
    if not any(one.tables for one in found):
        return (), "the target_metadata that env.py gives has no tables"
    return found, ""


NO_MODELS = ("env.py gives no target_metadata", "the target_metadata that env.py gives has no")


@dataclass
class Models:
    """The tables of some metadata, as one dialect and one database see them."""

    metadata: tuple[sa.MetaData, ...]
    dialect: sa.Dialect
    server: DriftServer
    name_of: Callable[[str | None, str], str]  # a table's name in snapshots, by schema and name
    tables: dict[str, sa.Table] = field(init=False)

    def __post_init__(self) -> None:
        """Name each table as a snapshot does."""
        fold = self.server.fold_table
        self.tables = {fold(self.named(table)): table for table in self.all_tables()}

    def all_tables(self) -> Iterator[sa.Table]:
        """Yield every table of every metadata."""
        for metadata in self.metadata:
            yield from metadata.tables.values()

    def named(self, table: sa.Table) -> str:
        return self.name_of(table.schema, table.name)

    def table(self, name: str) -> sa.Table | None:
        """Return the table with this name in a snapshot."""
        return self.tables.get(self.server.fold_table(name))

    def column(self, table: str, name: str) -> sa.Column[Any] | None:
        found, fold = self.table(table), self.server.fold
        columns = found.columns if found is not None else ()
        return next((one for one in columns if fold(one.name) == fold(name)), None)

    # Names

    @cached_property
    def _names(self) -> set[tuple[str, str, str]]:
        fold, found = self.server.fold, set[tuple[str, str, str]]()
        for name, table in self.tables.items():
            for kind, given, _ in self.things(table):
                if given is not None:
                    found.add((kind, name, fold(given)))
        return found

    def names(self, kind: str, table: str, name: str) -> bool:
        """Return whether the models themselves give a table's key or index this name."""
        key = self.server.fold_table(table), self.server.fold(name)
        kinds = ("unique", "index") if kind in ("unique", "index") else (kind,)
        return any((one, *key) in self._names for one in kinds)

    def things(self, table: sa.Table) -> Iterator[tuple[str, str | None, Any]]:
        """Yield the keys, checks and indexes of a table: kind, name as compiled, object."""
        preparer = self.dialect.identifier_preparer
        for one in (*_sorted(table.constraints), *_sorted(table.indexes)):
            kind = KINDS.get(one.__visit_name__)
            if kind is None:
                continue
            format_ = preparer.format_index if kind == "index" else preparer.format_constraint
            written = format_(one) if isinstance(one.name, str) else None
            yield kind, _unquoted(preparer, written), one

    def settles(self, table: str, settings: str) -> bool:
        """Return whether the models define any of a table's own settings on this server."""
        found = self.table(table)
        if found is None:
            return False
        dialects = (
            {self.dialect.name, "mariadb"}
            if self.server.schema_is_database
            else {self.dialect.name}
        )
        said = any(key.partition("_")[0] in dialects for key in found.kwargs)
        return said or self.server.is_attached

    # Classes

    @cached_property
    def _mappers(self) -> dict[sa.Table, Any]:
        found: dict[sa.Table, Any] = {}
        for registry in mapperlib._all_registries():
            for mapper in registry.mappers:
                table = mapper.local_table
                if isinstance(table, sa.Table) and _is_first(mapper):
                    found.setdefault(table, mapper)
        return found

    def label(self, table: str, column: str = "") -> str:
        """Return a table's class and a column's attribute; empty if none is mapped."""
        found = self.table(table)
        mapper = self._mappers.get(found) if found is not None else None
        if mapper is None:
            return ""
        own = self.column(table, column) if column else None
        attribute = ""
        if own is not None:
            known = mapper.columns.items()
            attribute = next((key for key, one in known if one is own), own.name)
        return f"{mapper.class_.__name__}{'.' if attribute else ''}{attribute}"

    def users_of(self, type_name: str) -> list[str]:
        """Return the columns whose type has this name, with their classes."""
        return [
            f"{name}.{column.name}"
            for name, table in self.tables.items()
            for column in table.columns
            if type_name in (names := [*_type_names(column.type)]) and names
        ]


def _is_first(mapper: Any) -> bool:
    """Return whether a class has a table of its own, not that of its parent class."""
    return mapper.inherits is None or mapper.inherits.local_table is not mapper.local_table


def _type_names(type_: Any) -> Iterator[str]:
    for one in types_within(type_):
        name = getattr(one, "name", None)
        if isinstance(name, str):
            yield name


def types_within(type_: Any) -> Iterator[Any]:
    """Yield a column's type, and the types within it: in an array, a decorator, a variant."""
    seen = [type_]
    for one in seen:
        yield one
        for name in ("item_type", "impl"):
            inner = getattr(one, name, None)
            if inner is not None and not isinstance(inner, type) and inner not in seen:
                seen.append(inner)
        seen += [v for v in getattr(one, "_variant_mapping", {}).values() if v not in seen]


def _sorted(things: Iterable[Any]) -> list[Any]:
    return sorted(things, key=lambda one: (str(one.name or ""), one.__visit_name__))


def _unquoted(preparer: Any, name: str | None) -> str | None:
    if not name:
        return None
    is_quoted = name[:1] == preparer.initial_quote and name[-1:] == preparer.final_quote
    escaped = preparer.escape_quote
    return name[1:-1].replace(escaped * 2, escaped) if is_quoted else str(name)


# By SQLAlchemy's __visit_name__; exclusions are PostgreSQL's.
KINDS = {
    "primary_key_constraint": "primary key",
    "unique_constraint": "unique",
    "check_constraint": "check",
    "column_check_constraint": "check",
    "table_or_column_check_constraint": "check",
    "foreign_key_constraint": "foreign key",
    "exclude_constraint": "exclusion",
    "index": "index",
}
