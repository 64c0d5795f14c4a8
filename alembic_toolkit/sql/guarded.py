"""Statements of a script that are not like the others: guarded, or the author's own."""

from __future__ import annotations

from alembic_toolkit.sql.quoting import dollar_quoted


class Marked(str):
    """A statement that is known by its type, also when Alembic has put something behind it."""

    def __add__(self, end: str) -> Marked:
        return self._like(f"{self}{end}")

    def strip(self, characters: str | None = None, /) -> Marked:
        return self._like(super().strip(characters))

    def removesuffix(self, suffix: str, /) -> Marked:
        return self._like(super().removesuffix(suffix))

    def _like(self, text: str) -> Marked:
        return type(self)(text)


class Verbatim(Marked):
    """A statement that the author wrote as SQL: not a byte of it is changed."""


class Single(Verbatim):
    """One statement of a file, cut as the server's client does."""


class Guarded(Marked):
    """A statement that looks before it acts, or of which nothing lasts.

    What makes a script skip what a database has knows it by its type.
    """

    block: str  # what runs it within another block; "" without one

    def __new__(cls, text: str, block: str = "") -> Guarded:
        guarded = super().__new__(cls, text)
        guarded.block = block
        return guarded

    def _like(self, text: str) -> Guarded:
        return Guarded(text, self.block)


def do_block(block: str) -> Guarded:
    """Return what runs a block of PL/pgSQL."""
    return Guarded(f"DO {dollar_quoted(block, 'alembic')}", block)


# What runs, on MariaDB and MySQL, the statement in @alembic_sql.
RUN_PREPARED = (
    Guarded("PREPARE alembic_statement FROM @alembic_sql"),
    Guarded("EXECUTE alembic_statement"),
    Guarded("DEALLOCATE PREPARE alembic_statement"),
)
