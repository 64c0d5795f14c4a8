"""The entry point: Alembic's operations, guarded."""

from __future__ import annotations

from functools import partial
from typing import Any

from alembic.operations import Operations, ops

from alembic_toolkit.database.portrait import refuse_greeting
from alembic_toolkit.messages import at_place_of
from alembic_toolkit.sql.offline import verbatim
from alembic_toolkit.sql.quoting import brief
from alembic_toolkit.verbs.arguments import UNWRITABLE, refuse_definition, require_sense
from alembic_toolkit.verbs.ensure import ensure
from alembic_toolkit.verbs.recorded import recorded_sql
from alembic_toolkit.verbs.refused import refused_sql
from alembic_toolkit.verbs.running import (
    current_connection,
    migration_context,
    refuse_script,
)
from alembic_toolkit.verbs.servers import server_of
from alembic_toolkit.verbs.texts import require_values
from alembic_toolkit.verbs.translate import is_verb, step_of
from alembic_toolkit.verbs.values import Batch, Database, Entrance, Step


class Guarded(Entrance):
    """Alembic's operations; each one checks before it acts."""

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        if not is_verb(operation):
            return pass_on(self, operation)
        return at_place_of(operation, self.ensure)

    def ensure(self, operation: ops.MigrateOperation) -> Any:
        """Check a verb, compare, then act, skip or refuse."""
        try:
            require_sense(operation)
            return ensure(step_of(self, operation))
        except UNWRITABLE as error:
            refuse_definition(operation, error)
            raise


def guarded(batch: Batch | None = None) -> Guarded:
    return Guarded(migration_context(), current_database(), batch)


def step(verb: str, kind: str, name: str | None, schema: str | None = None, **more: Any) -> Step:
    """Return the step for a verb that has no operation in Alembic."""
    return Step(guarded(), None, verb, kind, name, schema=schema, **more)


def pass_on(operations: Any, operation: Any) -> Any:
    """Run an operation that is not a verb as Alembic does."""
    call = f"{type(operation).__name__}"
    if isinstance(operation, ops.BulkInsertOp):
        call = f"bulk_insert({operation.table.fullname!r}, ...)"
    if isinstance(operation, ops.ExecuteSQLOp):
        call = f"execute({brief(operation.sqltext)!r})"
        require_values(call, operation.sqltext)
    run = partial(Operations(operations.migration_context).invoke, operation)
    with refused_sql(call), verbatim(operations.migration_context.impl):
        if isinstance(operation, ops.ExecuteSQLOp) and not operations.migration_context.as_sql:
            return recorded_sql(current_connection(), operation.sqltext, run)
        return run()


def current_database() -> Database:
    """Return the revision's connection with its server.

    :raises CommandError: the server is not supported, or only resembles one that is.
    """
    connection = current_connection()
    if not migration_context().as_sql:
        refuse_greeting(connection)
    return Database(connection, server_of(connection.dialect.name))


def online_database(verb: str) -> Database:
    """Return the revision's database, or refuse: a script has no database to ask."""
    database = current_database()
    if migration_context().as_sql:
        refuse_script(
            database,
            verb,
            "it asks the database, and a --sql script has none",
            "alembic upgrade head  # without --sql; or use a verb, which looks by itself",
        )
    return database
