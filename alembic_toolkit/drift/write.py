"""The code for a revision that makes a database match its models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from alembic_toolkit.drift.changes import Change
from alembic_toolkit.drift.compare import columns_of
from alembic_toolkit.drift.models import Models
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.tokens import code_tokens, split_list, split_parentheses

# The order in which steps can be done.
_FIRST, _DROP, _ADD, _ALTER, _REMOVE, _CREATE, _LAST = range(7)
_Step = tuple[int, Any]  # its place in that order; an operation of Alembic's, or a line of code


def code(changes: Iterable[Change], models: Models, context: MigrationContext) -> list[str]:
    """Return the lines of code that make all these changes, with the verbs of the helpers.

    :param context: of the database, which says how types are written in revisions.
    """
    writer = _Writer(models)
    steps = [step for change in changes for step in writer.steps(change)]
    steps += writer.altered()
    opts = {
        "sqlalchemy_module_prefix": "sa.",
        "alembic_module_prefix": "helpers.",
        "render_as_batch": False,
        "user_module_prefix": context.opts.get("user_module_prefix"),
        "render_item": context.opts.get("render_item"),
    }
    autogen = AutogenContext(context, metadata=models.metadata, opts=opts)
    autogen.imports = set()
    blocks = [
        step if isinstance(step, str) else str(render_op_text(autogen, step))
        for _, step in sorted(steps, key=lambda step: step[0])
    ]
    return [line for block in dict.fromkeys(blocks) for line in block.splitlines()]


class _Writer:
    """Writes operations for changes; those of one column are combined."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.columns: dict[tuple[str, str], list[Change]] = {}

    def steps(self, change: Change) -> Iterator[_Step]:
        """Yield the operations for one change."""
        if change.operation is not None:
            yield _order(change), change.operation
        elif change.kind == "column" and change.sign == "~":
            self.columns.setdefault((change.table, change.name), []).append(change)
        else:
            write = _WRITERS.get(change.kind, _Writer._by_hand)
            yield from write(self, change)

    def _place(self, name: str) -> tuple[str, str | None]:
        """Return a table's name and schema as written in the models."""
        table = self.models.table(name)
        if table is not None:
            return table.name, table.schema
        space, _, own = name.rpartition(".")
        return own, space or None

    # Tables and columns

    def _table(self, change: Change) -> Iterator[_Step]:
        name, schema = self._place(change.table)
        if change.fact == "comment":
            comment = change.new[1:-1].replace("''", "'")
            operation: Any = ops.DropTableCommentOp(name, schema=schema)
            if change.new:
                operation = ops.CreateTableCommentOp(name, comment, schema=schema)
            yield _LAST, operation
        else:
            yield (
                _LAST,
                f"# the table {change.table} itself: {change.old or '(plain)'} -> {change.new}",
            )

    def _column(self, change: Change) -> Iterator[_Step]:
        name, schema = self._place(change.table)
        if change.sign == "-":
            yield _REMOVE, ops.DropColumnOp(name, change.name, schema=schema)
        else:
            column = self.models.column(change.table, change.name)
            assert column is not None
            yield _ADD, _added(schema, name, column)

    def altered(self) -> Iterator[_Step]:
        """Yield one operation for all differences of each column."""
        for (table, column), changes in self.columns.items():
            name, schema = self._place(table)
            model = self.models.column(table, column)
            facts = {change.fact for change in changes}
            if model is None:
                continue
            if "generated" in facts:
                yield _REMOVE, ops.DropColumnOp(name, column, schema=schema)
                yield _REMOVE, _added(schema, name, model)
                continue
            if facts - {"serial"}:
                said = (change.new for change in changes if change.fact == "collation")
                plain = next(said, "") or self.models.server.plain_collation
                yield _ALTER, _alter(name, schema, model, facts, plain)
            if "serial" in facts:
                yield from _serial(name, schema, model, changes)

    # Keys, checks and indexes

    def _key(self, change: Change) -> Iterator[_Step]:
        name, schema = self._place(change.table)
        if change.fact == "name" and change.old:
            rename = self.models.server.rename(change.kind, change.table, change.old, change.new)
            if rename:
                yield _ALTER, f"helpers.execute({rename!r})"
                return
        if change.sign != "+":
            yield from self._dropped(change, name, schema)
        if change.sign != "-":
            model = self._model(change)
            if model is None:
                yield _CREATE, f"# {change.kind} on {change.table}: {change.new}"
                return
            name_ = self._name(change)
            if change.kind == "primary key":
                columns = [column.name for column in model.columns]
                more = f", schema={schema!r}" if schema else ""
                yield _CREATE, f"helpers.create_primary_key({name_!r}, {name!r}, {columns!r}{more})"
            elif change.kind == "check":
                # Not by an operation: a copy of the check would join the models' own table.
                more = f", schema={schema!r}" if schema else ""
                text = self._compiled(model.sqltext)
                yield (
                    _CREATE,
                    f"helpers.create_check_constraint({name_!r}, {name!r}, {text!r}{more})",
                )
            else:
                yield _CREATE, _created(model, name_)

    def _dropped(self, change: Change, name: str, schema: str | None) -> Iterator[_Step]:
        own = (change.old if change.fact == "name" else "") or change.name
        if change.fact == "name" and not change.old:
            own = ""
        if change.kind == "primary key" and own.startswith("("):
            own = "PRIMARY"  # MariaDB and MySQL give it no other name
        if own.startswith("(") or not own:
            about = change.old or change.name
            thing = f"{change.kind} {about} on {change.table}"
            way = "batch_alter_table(naming_convention=...) gives one"
            yield _DROP, f"# the {thing} has no name: {way}"
            return
        is_index = change.kind == "index"
        type_ = _TYPES.get(change.kind)
        yield (
            _DROP,
            ops.DropIndexOp(own, table_name=name, schema=schema)
            if is_index
            else ops.DropConstraintOp(own, name, type_=type_, schema=schema),
        )

    def _compiled(self, expression: Any) -> str:
        dialect = self.models.dialect
        options = {"literal_binds": True, "include_table": False}
        text = str(expression.compile(dialect=dialect, compile_kwargs=options))
        return unescaped_percent(text, dialect)

    def _name(self, change: Change) -> str | None:
        if change.wanted and not change.wanted.startswith("("):
            return change.wanted
        columns = columns_of(change.new)
        prefix = {"foreign key": "fk", "unique": "uq", "primary key": "pk"}.get(change.kind, "ck")
        return "_".join([prefix, change.table.rpartition(".")[2], *columns[:2]])

    def _model(self, change: Change) -> Any:
        """Return the models' object that a change is about."""
        table = self.models.table(change.table)
        if table is None or change.kind == "primary key":
            return table if table is None else table.primary_key
        kinds = ("unique", "index") if change.kind in ("unique", "index") else (change.kind,)
        things = [(name, one) for kind, name, one in self.models.things(table) if kind in kinds]
        fold = self.models.server.fold
        named = [one for name, one in things if name and fold(name) == fold(change.wanted)]
        if named or self.models.names(change.kind, change.table, change.wanted):
            return next(iter(named), None)
        unnamed = [one for name, one in things if name is None]
        if change.kind in ("unique", "foreign key"):
            wanted = [fold(one) for one in columns_of(change.new)]
            unnamed = [one for one in unnamed if [fold(c.name) for c in one.columns] == wanted]
        elif change.kind == "check" and len(unnamed) > 1:
            unnamed = [one for one in unnamed if _bare(one.sqltext) == _bare(change.new)]
        return unnamed[0] if len(unnamed) == 1 or (change.kind != "check" and unnamed) else None

    # Types, sequences, and what models make by SQL of their own

    def _enum(self, change: Change) -> Iterator[_Step]:
        space, _, name = change.name.rpartition(".")
        more = f", schema={space!r}" if space else ""
        old, new = (_labels(text) for text in (change.old, change.new))
        if change.sign == "+":
            yield _FIRST, f"helpers.create_enum({name!r}, {new!r}{more})"
            return
        for place, label in enumerate(new):
            if label not in old:
                where = f"after={new[place - 1]!r}" if place else f"before={old[0]!r}"
                yield _FIRST, f"helpers.add_enum_value({name!r}, {label!r}, {where}{more})"
        if gone := [label for label in old if label not in new]:
            yield _FIRST, f"# {', '.join(map(repr, gone))} of {name}: only a new type is without it"
        elif [label for label in new if label in old] != old:
            yield _FIRST, f"# the order of {name}'s values: only a new type has another"

    def _sequence(self, change: Change) -> Iterator[_Step]:
        if change.sign == "+":
            sql = f"CREATE SEQUENCE {change.name} {change.new}".strip()
            yield _FIRST, f"helpers.execute({sql!r})"
        else:
            sides = f"{change.old or 'plain'} -> {change.new or 'plain'}"
            yield _FIRST, f"# ALTER SEQUENCE {change.name}: {sides}"

    def _by_hand(self, change: Change) -> Iterator[_Step]:
        on = f" on {change.table}" if change.table else ""
        what = "make" if change.sign == "+" else "replace"
        yield _LAST, f"# {what} the {change.kind} {change.name}{on}, as the models do"


_TYPES = {
    "unique": "unique",
    "check": "check",
    "foreign key": "foreignkey",
    "primary key": "primary",
}
_WRITERS: dict[str, Callable[[_Writer, Change], Iterator[_Step]]] = {
    "table": _Writer._table,
    "column": _Writer._column,
    "enum": _Writer._enum,
    "sequence": _Writer._sequence,
    **dict.fromkeys(
        ("primary key", "unique", "check", "foreign key", "exclusion", "index"), _Writer._key
    ),
}


def _order(change: Change) -> int:
    if change.kind == "table":
        return {"+": _FIRST, "-": _LAST}.get(change.sign, _ALTER)
    if change.kind == "column":
        return {"+": _ADD, "-": _REMOVE}.get(change.sign, _ALTER)
    return {"+": _CREATE, "-": _DROP}.get(change.sign, _LAST)


def _added(schema: str | None, table: str, column: sa.Column[Any]) -> Any:
    return ops.AddColumnOp(table, column._copy(), schema=schema)


def _alter(
    table: str, schema: str | None, column: sa.Column[Any], facts: set[str], plain: str
) -> Any:
    more: dict[str, Any] = {}
    if facts & {"type", "collation", "character set"}:
        more["modify_type"] = column.type
        if "collation" in facts and plain and not getattr(column.type, "collation", None):
            more["modify_type"] = copy.copy(column.type)  # what is not said is kept
            more["modify_type"].collation = plain
    if "null" in facts:
        more["modify_nullable"] = column.nullable
    if facts & {"default", "identity"}:
        more["modify_server_default"] = column.server_default
    if "comment" in facts:
        more["modify_comment"] = column.comment
    if "autoincrement" in facts:
        more["autoincrement"] = bool(column.table._autoincrement_column is column)
    return ops.AlterColumnOp(
        table,
        column.name,
        schema=schema,
        existing_type=None if "modify_type" in more else column.type,
        existing_nullable=None if "modify_nullable" in more else column.nullable,
        existing_server_default=False if "modify_server_default" in more else column.server_default,
        **more,
    )


def _created(model: Any, name: str | None) -> Any:
    if isinstance(model, sa.Index):
        return ops.CreateIndexOp.from_index(model)
    operation: Any = copy.copy(ops.AddConstraintOp.from_constraint(model))
    if name and not isinstance(model.name, str):
        operation.constraint_name = name
    return operation


def _labels(text: str) -> list[str]:
    tokens = split_parentheses(code_tokens(text))[0]
    return ["".join(part)[1:-1].replace("''", "'") for part in split_list(tokens)]


def _bare(text: Any) -> str:
    return "".join(t for t in code_tokens(str(text).lower()) if t not in '()"`')


def _serial(
    table: str, schema: str | None, column: sa.Column[Any], changes: Iterable[Change]
) -> Iterator[_Step]:
    """Yield SQL that gives a column its own sequence, or removes it."""
    place = f"{schema}.{table}" if schema else table
    sequence = f"{place}_{column.name}_seq"
    new = next(change.new for change in changes if change.fact == "serial")
    more = f", schema={schema!r}" if schema else ""
    default = f"sa.text(\"nextval('{sequence}')\")" if new else "None"
    alter = f"helpers.alter_column({table!r}, {column.name!r}, server_default={default}{more})"
    options = new.removeprefix("SERIAL")
    owned = f"CREATE SEQUENCE {sequence}{options} OWNED BY {place}.{column.name}"
    if new:
        yield _ALTER, f"helpers.execute({owned!r})"
    yield _ALTER, alter
