"""Statements of a script that need no other guard."""

from __future__ import annotations

from alembic_toolkit.sql.quoting import dollar_quoted


class Guarded(str):
    """A statement that looks before it acts, or of which nothing lasts.

    Whatever makes a script skip what a database has knows it by its type, also when Alembic has put
    a semicolon and line breaks behind it.
    """

    block: str  # what runs it within another block; "" without one

    def __new__(cls, text: str, block: str = "") -> Guarded:
        guarded = super().__new__(cls, text)
        guarded.block = block
        return guarded

    def __add__(self, end: str) -> Guarded:
        return Guarded(f"{self}{end}", self.block)

    def strip(self, characters: str | None = None, /) -> Guarded:
        return Guarded(super().strip(characters), self.block)


def do_block(block: str) -> Guarded:
    """Return what runs a block of PL/pgSQL."""
    return Guarded(f"DO {dollar_quoted(block, 'alembic')}", block)


# What runs, on MariaDB and MySQL, the statement in @alembic_sql.
RUN_PREPARED = (
    Guarded("PREPARE alembic_statement FROM @alembic_sql"),
    Guarded("EXECUTE alembic_statement"),
    Guarded("DEALLOCATE PREPARE alembic_statement"),
)
