"""The errors that verbs raise."""

from __future__ import annotations

from typing import Any, NoReturn

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from alembic_toolkit.messages import at, four_parts, place


class SchemaConflict(CommandError):
    """The database differs from what the revision wants, and only a person can decide."""


class MissingParent(SchemaConflict):
    """The table (or the column to alter) that the revision builds on does not exist."""


class UnsafeOperation(CommandError):
    """The change would lose rows, or is impossible with how this ``env.py`` runs revisions."""


class OfflineUnsupported(CommandError):
    """The verb has no form that a ``--sql`` script could guard on this server."""


class Irreversible(CommandError):
    """The revision declares that it cannot be downgraded."""


class Nameless(UnsafeOperation, ValueError):
    """Alembic raises a ValueError for SQLite, which some revisions catch."""


class DatabaseRefused(CommandError):
    """The server itself refused: because of its rows, a taken name, or a dependent object.

    It is also SQLAlchemy's error (such as ``IntegrityError``), for a revision that catches that.
    """

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[DatabaseRefused], tuple[str]]:
        return DatabaseRefused, (str(self),)


def refusal(error: DBAPIError, text: str) -> DatabaseRefused:
    """Return an error with this text that is also an instance of SQLAlchemy's error."""
    bases = (DatabaseRefused, type(error))
    both = type("DatabaseRefused", bases, {"__module__": DatabaseRefused.__module__})
    made: Any = both.__new__(both, text)
    vars(made).update(vars(error))
    made.args = (text,)
    refused: DatabaseRefused = made
    return refused


def stop(
    error: type[CommandError], problem: str, shown: tuple[str, str], why: str, *way: str
) -> NoReturn:
    """Raise an error with four parts: the request, what the database has, why, what to do."""
    raise error(four_parts(at_place(problem), shown, why, *way))


def at_place(problem: str) -> str:
    """Return the request after the file and line of the author's call, if there is one."""
    return at(place(), problem)
