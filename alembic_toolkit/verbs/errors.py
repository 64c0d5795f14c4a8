"""What the verbs raise."""

from __future__ import annotations

from typing import NoReturn

from alembic.util import CommandError


class SchemaConflict(CommandError):
    """The database holds something else than the revision wants, and only a person can choose."""


class MissingParent(SchemaConflict):
    """The table (or the column to alter) that the revision builds on is not there."""


class UnsafeOperation(CommandError):
    """The change would lose rows, or cannot be made in the way this ``env.py`` runs revisions."""


class OfflineUnsupported(CommandError):
    """The verb has no form that a ``--sql`` script could guard on this server."""


class Irreversible(CommandError):
    """The revision declares that it cannot be taken back."""


class Nameless(UnsafeOperation, ValueError):
    """Alembic raises a ValueError for SQLite, which some revisions catch."""


def stop(
    error: type[CommandError], problem: str, shown: tuple[str, str], why: str, *way: str
) -> NoReturn:
    """Raise an error of four parts: what was asked, has and wants, why, what to do."""
    has, wants = shown
    code = "\n".join(f"    {line}" for line in way)
    compared = f"  database has:    {has}\n  revision wants:  {wants}"
    raise error(f"{problem}\n{compared}\n{why}\nWhat to do next:\n{code}")
