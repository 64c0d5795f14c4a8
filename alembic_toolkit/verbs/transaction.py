"""Outside of the transaction, and several statements in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.values import Database, Step


@contextmanager
def outside_transaction(step: Step, what: str = "do this concurrently") -> Iterator[None]:
    """Open Alembic's autocommit block, for what cannot run in a transaction.

    It asserts when somebody else than Alembic began the transaction: one that only our own look
    began is committed, one that ``env.py`` holds is not ours to commit.
    """
    context = step.operations.migration_context
    if step.database.connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        yield  # the revision opened the block itself
        return
    if getattr(context, "_in_external_transaction", False):
        stop(
            UnsafeOperation,
            f"{step.call}: cannot {what} inside a transaction.",
            (
                "a transaction that env.py began before context.configure()",
                "none, or Alembic's own",
            ),
            "Stopped, because committing it here would commit what env.py wanted to keep together.",
            "connection.commit()  # in env.py, before context.configure(connection=connection)",
        )
    if (
        getattr(context, "transaction_of", None) is None
        and step.database.connection.in_transaction()
    ):
        step.database.connection.commit()
    with context.autocommit_block():
        yield


@contextmanager
def one_transaction(database: Database) -> Iterator[None]:
    """Make one commit of what is done within, where each statement would have its own."""
    if database.connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        yield
        return
    database.run(database.server.begin)
    try:
        yield
    except BaseException:
        database.run("ROLLBACK")
        raise
    database.run("COMMIT")
