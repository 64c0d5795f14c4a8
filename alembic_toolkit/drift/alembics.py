"""Alembic's own comparison of models and database, and what it was told to exclude."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alembic.autogenerate import produce_migrations
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.drift.changes import Change, Key, keys
from alembic_toolkit.drift.models import KINDS

NameOf = Callable[[str | None, str], str]
# What Alembic calls our kinds.
_TYPES = {"unique": "unique_constraint", "foreign key": "foreign_key_constraint"}
_TYPES |= {"check": "check_constraint", "primary key": "primary_key_constraint"}


@dataclass
class Asked:
    """Alembic's differences, and the answers of ``env.py`` during the comparison."""

    changes: list[Change] = field(default_factory=list)
    left_out: set[tuple[str, str, str]] = field(default_factory=set)  # type, table, name
    alike: set[Key] = field(default_factory=set)  # facts of columns that env.py says are the same
    include_object: Any = None

    def wants(self, kind: str, table: str, name: str, model: Any = None) -> bool:
        """Return whether ``env.py`` wants an object compared; for objects unknown to Alembic.

        :param model: the object of the models, for ``include_object``.
        """
        type_ = _TYPES.get(kind, kind)
        types = ("index", "unique_constraint") if kind in ("index", "unique") else (type_,)
        if any((one, table.lower(), name.lower()) in self.left_out for one in types):
            return False
        if self.include_object is None or model is None:
            return True
        return bool(self.include_object(model, name, type_, False, None))


def asked(context: MigrationContext, metadata: Any, name_of: NameOf) -> Asked:
    """Run Alembic's comparison, as ``alembic check`` does.

    :param name_of: a table's name in snapshots, by schema and name.
    """
    found = Asked(include_object=context.opts.get("include_object"))
    with _listening(context, found, name_of), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it cannot compare: we do
        script = produce_migrations(context, metadata)
    assert script.upgrade_ops is not None
    for operation in _flat(script.upgrade_ops):
        found.changes += _changes(operation, name_of)
    return found


@contextmanager
def _listening(context: MigrationContext, found: Asked, name_of: NameOf) -> Iterator[None]:
    """Record the answers of ``env.py``'s functions while Alembic compares."""
    opts, compare = dict(context.opts), dict(vars(context))

    def include_object(one: Any, name: Any, type_: str, reflected: bool, to: Any) -> bool:
        answer = bool(opts["include_object"](one, name, type_, reflected, to))
        if not answer and name is not None:
            table = one if type_ == "table" else getattr(one, "table", None)
            of = name_of(table.schema, table.name) if table is not None else ""
            found.left_out.add((type_, of.lower(), str(name).lower()))
        return answer

    def include_name(name: Any, type_: str, parents: Any) -> bool:
        answer = bool(opts["include_name"](name, type_, parents))
        table = name if type_ == "table" else parents.get("table_name")
        if not answer and name is not None and table is not None:
            of = name_of(parents.get("schema_name"), table)
            found.left_out.add((type_, of.lower(), str(name).lower()))
        return answer

    def heard(fact: str, answer: Any) -> Any:
        def compare_(ctx: Any, inspected: Any, column: Any, *more: Any) -> Any:
            same = answer(ctx, inspected, column, *more)
            if same is False:
                table = name_of(column.table.schema, column.table.name)
                found.alike.update(keys("column", table, {column.name}, fact=fact))
            return same

        return compare_ if callable(answer) else answer

    for name, own in (("include_object", include_object), ("include_name", include_name)):
        if opts.get(name):
            context.opts[name] = own
    for name, fact in (("type", "type"), ("server_default", "default")):
        attribute = f"_user_compare_{name}"
        setattr(context, attribute, heard(fact, compare.get(attribute)))
    try:
        yield
    finally:
        context.opts.update({n: opts[n] for n in ("include_object", "include_name") if n in opts})
        for attribute in ("_user_compare_type", "_user_compare_server_default"):
            setattr(context, attribute, compare.get(attribute))


def _flat(container: Any) -> Iterator[Any]:
    for one in container.ops:
        if isinstance(one, ops.OpContainer):
            yield from _flat(one)
        else:
            yield one


_ALTERED = {
    "modify_type": "type",
    "modify_nullable": "null",
    "modify_default": "default",
    "modify_comment": "comment",
}


def _changes(operation: Any, name_of: NameOf) -> list[Change]:
    """Return the changes that one of Alembic's operations would make, in our own form."""
    if isinstance(operation, ops.AlterColumnOp):
        return [*_altered(operation, name_of)]
    what = operation.to_diff_tuple()[0]
    sign = "+" if what.startswith("add") else "-" if what.startswith("remove") else "~"
    table = name_of(
        getattr(operation, "schema", None) or getattr(operation, "source_schema", None),
        str(getattr(operation, "table_name", "") or getattr(operation, "source_table", "")),
    )
    kind, name, columns = _about(operation, table)
    known = keys(kind, table, {name}, columns)
    sides = {"old": "", "new": ""}
    if columns:
        sides["old" if sign == "-" else "new"] = f"({', '.join(columns)})"
    if kind == "table comment":
        known = keys(kind, table, {table})
        texts = getattr(operation, "existing_comment", None), getattr(operation, "comment", None)
        sides = {key: f"'{text}'" for key, text in zip(sides, texts, strict=True) if text}
        return [
            Change("~", "table", table, table, "comment", keys=known, operation=operation, **sides)
        ]
    return [Change(sign, kind, table, name, keys=known, operation=operation, **sides)]


def _about(operation: Any, table: str) -> tuple[str, str, list[str]]:
    """Return kind, name and columns of the object that an operation creates or drops."""
    match operation:
        case ops.CreateTableOp() | ops.DropTableOp():
            return "table", table, []
        case ops.AddColumnOp():
            return "column", str(operation.column.name), []
        case ops.DropColumnOp():
            return "column", str(operation.column_name), []
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return "index", str(operation.index_name or ""), []
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return "table comment", table, []
        case ops.AddConstraintOp() | ops.DropConstraintOp():
            one: Any = operation.to_constraint()
            columns = [*getattr(one, "column_keys", ())] or [*one.columns.keys()]
            name = one.name if isinstance(one.name, str) else ""
            return KINDS[one.__visit_name__], name, [str(column) for column in columns]
    return type(operation).__name__, str(operation.to_diff_tuple()), []


def _altered(operation: Any, name_of: NameOf) -> Iterator[Change]:
    for what, schema, table, column, _, old, new in operation.to_diff_tuple():
        fact, own = _ALTERED.get(what, what), name_of(schema, table)
        sides = [_shown(fact, side) for side in (old, new)]
        known = keys("column", own, {column}, fact=fact)
        more: dict[str, Any] = {"keys": known, "operation": operation}
        yield Change("~", "column", own, column, fact, sides[0], sides[1], **more)


def _shown(fact: str, value: Any) -> str:
    if fact == "null":
        return "" if value else "NOT NULL"
    if fact == "default" and value is not None:
        value = getattr(value, "arg", value)
        return str(getattr(value, "text", value))
    return "" if value is None else f"'{value}'" if fact == "comment" else str(value)
