"""Special statements of a script: guarded, or the author's own."""

from __future__ import annotations

from alembic_toolkit.sql.quoting import dollar_quoted


class Marked(str):
    """A statement identified by its type, even if Alembic has appended text to it."""

    def __add__(self, end: str) -> Marked:
        return self._like(f"{self}{end}")

    def strip(self, characters: str | None = None, /) -> Marked:
        return self._like(super().strip(characters))

    def removesuffix(self, suffix: str, /) -> Marked:
        return self._like(super().removesuffix(suffix))

    def _like(self, text: str) -> Marked:
        return type(self)(text)


class Verbatim(Marked):
    """A statement that the author wrote as SQL: it is not changed in any way."""


class Single(Verbatim):
    """One statement of a file, split as the server's client does."""


class Guarded(Marked):
    """A statement that checks before it acts, or that has no lasting effect.

    The code that makes a script skip completed work recognizes it by its type.
    """

    block: str  # SQL that runs it within another block; "" if impossible

    def __new__(cls, text: str, block: str = "") -> Guarded:
        guarded = super().__new__(cls, text)
        guarded.block = block
        return guarded

    def _like(self, text: str) -> Guarded:
        return Guarded(text, self.block)


def do_block(block: str) -> Guarded:
    """Return SQL that runs a block of PL/pgSQL."""
    return Guarded(f"DO {dollar_quoted(block, 'alembic')}", block)


# SQL that runs the statement in @alembic_sql on MariaDB and MySQL.
RUN_PREPARED = (
    Guarded("PREPARE alembic_statement FROM @alembic_sql"),
    Guarded("EXECUTE alembic_statement"),
    Guarded("DEALLOCATE PREPARE alembic_statement"),
)
