"""What Alembic writes into a script, byte for byte: it would make four spaces of each tab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import DDLElement

from alembic_toolkit.sql.guarded import Verbatim
from alembic_toolkit.sql.quoting import unescaped_percent
from alembic_toolkit.sql.statements import terminated


def write_construct(impl: Any, construct: Any) -> None:
    """Write a statement into the script of Alembic's implementation."""
    is_own = isinstance(construct, (str, sa.TextClause))
    construct = sa.text(construct) if isinstance(construct, str) else construct
    values = impl.literal_binds and not isinstance(construct, DDLElement)
    options = {"compile_kwargs": {"literal_binds": True}} if values else {}
    compiled = str(construct.compile(dialect=impl.dialect, **options)).strip()
    text = unescaped_percent(compiled, impl.dialect)
    write_statement(impl, Verbatim(text) if is_own else text)


def write_statement(impl: Any, sql: str) -> None:
    """Write SQL with its terminator, on a line of its own behind a comment."""
    end = terminated(str(sql))[len(sql) : -1] + impl.command_terminator
    impl.static_output(sql + end)


@contextmanager
def verbatim(impl: Any) -> Iterator[None]:
    """Have Alembic write no other bytes than it was given, where it writes a script."""
    if not impl.as_sql:
        yield
        return
    own = impl._exec

    def as_given(construct: Any, options: Any = None, *values: Any, **kw: Any) -> Any:
        if any(values) or kw.get("multiparams") or kw.get("params"):
            return own(construct, options, *values, **kw)
        return write_construct(impl, construct)

    impl._exec = as_given
    try:
        yield
    finally:
        impl._exec = own
