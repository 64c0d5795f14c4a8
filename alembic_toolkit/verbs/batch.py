"""``batch_alter_table``: verbs that are queued until the block ends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl

from alembic_toolkit.messages import keep_place
from alembic_toolkit.sql.tokens import contains_word
from alembic_toolkit.verbs.arguments import in_words, require_sense
from alembic_toolkit.verbs.operations import guarded, pass_on
from alembic_toolkit.verbs.running import migration_context
from alembic_toolkit.verbs.translate import is_verb, step_of
from alembic_toolkit.verbs.values import Batch, Database, Entrance, Step, by_name
from alembic_toolkit.verbs.words import log_skip


def run_all(
    operations: Entrance, batch: Batch, later: list[ops.MigrateOperation], queue: list[Any]
) -> None:
    """Run the verbs of a block."""
    restoring = indexes_to_restore(operations, queue)
    batch.later = later
    while batch.later:
        operations.invoke(batch.later.pop(0))
    for restore in restoring:
        restore()


class BatchPlace:
    """The interface that Alembic's batch operations require: which table."""

    def __init__(self, table_name: str, schema: str | None, impl: Any) -> None:
        self.table_name, self.schema, self.impl = table_name, schema, impl

    def __getattr__(self, name: str) -> Any:
        return getattr(self.impl, name)


class GuardedBatch(BatchOperations):
    """Alembic's batch operations, queued until the block ends; SQL runs at once, as in Alembic."""

    def __init__(self, database: Database, table_name: str, schema: str | None) -> None:
        context = migration_context()
        make: Any = super().__init__
        make(context, BatchPlace(table_name, schema, context.impl))
        self.database, self.table_name, self.schema = database, table_name, schema
        self.queue: list[ops.MigrateOperation] = []

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if isinstance(operation, ops.DropConstraintOp):
            step_of(guarded(), operation)  # refuses a nameless one before the block runs
        if is_verb(operation):
            require_sense(operation)
            keep_place(operation)
            return self.queue.append(operation)
        return pass_on(self, operation)

    def drop_constraint(
        self,
        constraint_name: str | None,
        type_: str | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Drop the constraint, as the verb of this name does."""
        drop: Any = ops.DropConstraintOp(
            constraint_name, self.table_name, type_, schema=self.schema
        )
        drop.kw = {} if columns is None else {"columns": list(columns)}
        self.invoke(drop)

    def run(
        self,
        *,
        recreate: str,
        partial_reordering: Sequence[Sequence[str]],
        copy_from: sa.Table | None,
        table_args: tuple[Any, ...],
        options: dict[str, Any],
        naming_convention: dict[str, str] | None,
    ) -> None:
        """Run the verbs of the block, and apply the options of the batch itself."""
        counts = bool(table_args or partial_reordering or options) or copy_from is not None
        rebuilds = counts and self._rebuilds(recreate)
        can = self.database.server.batch
        keys = [o for o in self.queue if isinstance(o, ops.CreatePrimaryKeyOp)]
        batch = Batch(
            naming_convention,
            makes_key=can is not None and bool(keys),
            key=tuple(keys[0].columns) if keys else (),
            drops=frozenset(o.column_name for o in self.queue if isinstance(o, ops.DropColumnOp)),
            is_block=True,
        )
        operations = guarded(batch)
        table = self.table_name, self.schema
        alter = ops.AlterTableOp(self.table_name, schema=self.schema)
        step = Step(operations, alter, "batch_alter_table", "table", None, *table)
        with nullcontext() if can is None else can.one_act(step):
            if can is not None and rebuilds and copy_from is not None and not step.offline:
                can.drop_uncopied(step, copy_from)
            added = self._added(table_args) if rebuilds else []
            run_all(operations, batch, [*columns_first(self.queue), *added], self.queue)
            if rebuilds and (partial_reordering or options):
                if can is None:
                    return log_skip(step, "this server cannot change the order of columns")
                can.reshape(step, partial_reordering, options)

    def _rebuilds(self, recreate: str) -> bool:
        """Tell whether Alembic would rebuild the table: otherwise batch options do not apply."""
        context = self.migration_context
        table = (self.table_name, self.schema)
        make: Any = BatchOperationsImpl  # Alembic has no types for it
        batch = make(Operations(context), *table, recreate, None, (), {}, (), {}, None, ())
        for operation in self.queue:
            if isinstance(operation, ops.AddColumnOp):
                # Alembic adds it to a table, and a table's column is copied without its keys
                operation = ops.AddColumnOp(operation.table_name, operation.column._copy())
            BatchOperations(context, batch).invoke(operation)
        return bool(batch._should_recreate())

    def _added(self, table_args: tuple[Any, ...]) -> list[ops.MigrateOperation]:
        """Return the operations that add a batch's ``table_args``."""
        given = [c for arg in table_args for c in getattr(arg, "_pending_colargs", ())]
        columns = {str(getattr(c, "name", c)) for c in given if c is not None}
        # Alembic's own table factory also creates the tables that foreign keys refer to
        table = self.schema_obj.table(
            self.table_name,
            *(sa.Column(name, sa.types.NullType()) for name in sorted(columns)),
            *table_args,
            schema=self.schema,
        )
        keyless = {
            c
            for c in table.constraints
            if not (list(getattr(c, "columns", ())) or hasattr(c, "sqltext"))
        }
        wanted = by_name(table.constraints - keyless)
        made: list[ops.MigrateOperation] = [ops.AddConstraintOp.from_constraint(c) for c in wanted]
        return made + [ops.CreateIndexOp.from_index(index) for index in by_name(table.indexes)]


for _name in dir(BatchOperations):
    _method = getattr(GuardedBatch, _name)
    if not _name.startswith("_") and inspect.isfunction(_method):
        setattr(GuardedBatch, _name, in_words(_method))


def columns_first(queue: Sequence[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """Return the operations, each one after the added columns that it uses.

    Alembic creates a table's columns first, wherever in the block they are added.
    """
    waiting = list(queue)
    ordered: list[ops.MigrateOperation] = []
    while waiting:
        below = [[o for o in waiting[n + 1 :] if uses(waiting[n], o)] for n in range(len(waiting))]
        # two computed columns that use each other: keep the order, so that the server refuses them
        place = next((n for n, others in enumerate(below) if not others), 0)
        ordered.append(waiting.pop(place))
    return ordered


def uses(operation: ops.MigrateOperation, added: ops.MigrateOperation) -> bool:
    """Tell whether an operation that creates something uses the column that another one adds."""
    if not isinstance(added, ops.AddColumnOp) or not isinstance(operation, MAKERS):
        return False
    name = added.column.name
    return any(text == name or contains_word(text, name) for text in names_used(operation))


MAKERS = (ops.AddColumnOp, ops.AddConstraintOp, ops.CreateIndexOp)


def names_used(operation: Any) -> list[str]:
    """Return the names and the SQL in which an operation refers to columns."""
    if isinstance(operation, ops.AddColumnOp):
        column = operation.column
        things = [column.computed.sqltext] if column.computed is not None else []
        things += [operation.kw.get(f"insert_{where}") for where in ("before", "after")]
    else:
        things = [getattr(operation, name, None) for name in ("columns", "local_cols", "condition")]
        things += [*operation.kw.values(), getattr(operation, "elements", None)]
    return [text for thing in things for text in texts_of(thing)]


def texts_of(thing: Any) -> Iterator[str]:
    if isinstance(thing, str | sa.ClauseElement):
        yield str(thing)
    elif isinstance(thing, Iterable):
        for part in thing:
            yield from texts_of(part)


def indexes_to_restore(
    operations: Entrance, queue: Sequence[ops.MigrateOperation]
) -> list[Callable[[], None]]:
    """Return operations that recreate the indexes for a batch's new column with an old name."""
    can = operations.database.server.batch
    if can is None or operations.migration_context.as_sql:
        return []
    dropped = {o.column_name: o for o in queue if isinstance(o, ops.DropColumnOp)}
    again = [o.column.name for o in queue if isinstance(o, ops.AddColumnOp)]
    steps = [step_of(operations, dropped[name]) for name in again if name in dropped]
    return [can.index_keeper(step) for step in steps]
