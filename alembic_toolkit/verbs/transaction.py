"""Run statements outside the transaction, or several in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic_toolkit.database import driver
from alembic_toolkit.verbs.errors import UnsafeOperation, stop
from alembic_toolkit.verbs.values import Database, Step


@contextmanager
def outside_transaction(step: Step, what: str = "do this concurrently") -> Iterator[None]:
    """Open Alembic's autocommit block, for statements that cannot run in a transaction.

    The block asserts that Alembic began the transaction.  One that our own query began is
    committed; one that ``env.py`` began must not be committed here.
    """
    context, connection = step.context, step.database.connection
    if commits_each(step.database):
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
    if getattr(context, "_transaction", None) is None and connection.in_transaction():
        connection.commit()
    with context.autocommit_block():
        yield


def commits_each(database: Database) -> bool:
    """Tell whether the connection commits each statement, as within an autocommit block."""
    return driver.commits_each(database.connection)


@contextmanager
def undone_by_error(database: Database) -> Iterator[None]:
    """Undo the block's changes if it fails; use the present transaction, if there is one."""
    within = one_transaction(database)
    with within if commits_each(database) else database.connection.begin_nested():
        yield


@contextmanager
def one_transaction(database: Database) -> Iterator[None]:
    """Combine the block's statements into one commit, where each would commit by itself."""
    if not commits_each(database):
        yield
        return
    database.run(database.server.begin)
    try:
        yield
        database.run("COMMIT")
    except BaseException:  # on SQLite a COMMIT that meets a reader leaves the transaction open
        database.run("ROLLBACK")
        raise
