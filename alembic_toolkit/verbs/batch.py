"""``batch_alter_table``: verbs that are kept until the block ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, Operations, ops
from alembic.operations.batch import BatchOperationsImpl

from alembic_toolkit.verbs.operations import guarded, pass_on
from alembic_toolkit.verbs.running import migration_context
from alembic_toolkit.verbs.translate import is_verb, step_of
from alembic_toolkit.verbs.values import Batch, Database, Entrance, Step, by_name, log_decision


class BatchPlace:
    """What Alembic's batch operations ask: which table."""

    def __init__(self, table_name: str, schema: str | None, impl: Any) -> None:
        self.table_name, self.schema, self.impl = table_name, schema, impl

    def __getattr__(self, name: str) -> Any:
        return getattr(self.impl, name)


class GuardedBatch(BatchOperations):
    """Alembic's batch operations, kept until the block ends; SQL runs at once, as in Alembic."""

    def __init__(self, database: Database, table_name: str, schema: str | None) -> None:
        context = migration_context()
        make: Any = super().__init__
        make(context, BatchPlace(table_name, schema, context.impl))
        self.database, self.table_name, self.schema = database, table_name, schema
        self.queue: list[ops.MigrateOperation] = []

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if isinstance(operation, ops.DropConstraintOp):
            step_of(guarded(), operation)  # refuses one without a name before all of the block
        if is_verb(operation):
            return self.queue.append(operation)
        return pass_on(self, operation)

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
        """Run the verbs of the block, and what the batch itself asks for."""
        counts = bool(table_args or partial_reordering or options) or copy_from is not None
        rebuilds = counts and self._rebuilds(recreate)
        can = self.database.server.batch
        batch = Batch(
            naming_convention,
            makes_key=can is not None
            and any(isinstance(o, ops.CreatePrimaryKeyOp) for o in self.queue),
            drops=frozenset(o.column_name for o in self.queue if isinstance(o, ops.DropColumnOp)),
        )
        operations = guarded(batch)
        table = self.table_name, self.schema
        alter = ops.AlterTableOp(self.table_name, schema=self.schema)
        step = Step(operations, alter, "batch_alter_table", "table", None, *table)
        if can is not None and rebuilds and copy_from is not None and not step.offline:
            can.drop_uncopied(step, copy_from)
        restoring = indexes_to_restore(operations, self.queue)
        for operation in [*self.queue, *(self._added(table_args) if rebuilds else [])]:
            operations.invoke(operation)
        for restore in restoring:
            restore()
        if rebuilds and (partial_reordering or options):
            if can is None:
                return log_decision("skip", step, "this server cannot change the order of columns")
            can.reshape(step, partial_reordering, options)

    def _rebuilds(self, recreate: str) -> bool:
        """Tell whether Alembic would rebuild the table: only then do a batch's options count."""
        context = self.migration_context
        table = (self.table_name, self.schema)
        make: Any = BatchOperationsImpl  # which Alembic left without types
        batch = make(Operations(context), *table, recreate, None, (), {}, (), {}, None, ())
        for operation in self.queue:
            if isinstance(operation, ops.AddColumnOp):
                # Alembic puts it into a table, and a column of a table is copied without its keys
                operation = ops.AddColumnOp(operation.table_name, operation.column._copy())
            BatchOperations(context, batch).invoke(operation)
        return bool(batch._should_recreate())

    def _added(self, table_args: tuple[Any, ...]) -> list[ops.MigrateOperation]:
        """Return the operations that add a batch's ``table_args``."""
        given = [c for arg in table_args for c in getattr(arg, "_pending_colargs", ())]
        columns = {str(getattr(c, "name", c)) for c in given if c is not None}
        # Alembic's own maker of tables also makes those that foreign keys lead to
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


def indexes_to_restore(
    operations: Entrance, queue: Sequence[ops.MigrateOperation]
) -> list[Callable[[], None]]:
    """Return what makes the indexes again that a batch's new column of an old name shall have."""
    can = operations.database.server.batch
    if can is None or operations.migration_context.as_sql:
        return []
    dropped = {o.column_name: o for o in queue if isinstance(o, ops.DropColumnOp)}
    again = [o.column.name for o in queue if isinstance(o, ops.AddColumnOp)]
    steps = [step_of(operations, dropped[name]) for name in again if name in dropped]
    return [can.index_keeper(step) for step in steps]
