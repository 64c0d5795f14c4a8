"""Write exact text into Alembic's script; Alembic itself would expand tabs to spaces."""

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
    """Write a statement to the script through Alembic's implementation."""
    is_own = isinstance(construct, (str, sa.TextClause))
    construct = sa.text(construct) if isinstance(construct, str) else construct
    values = impl.literal_binds and not isinstance(construct, DDLElement)
    options = {"compile_kwargs": {"literal_binds": True}} if values else {}
    compiled = str(construct.compile(dialect=impl.dialect, **options)).strip()
    text = unescaped_percent(compiled, impl.dialect)
    write_statement(impl, Verbatim(text) if is_own else text)


def write_statement(impl: Any, sql: str) -> None:
    """Write SQL with its terminator, which gets its own line after a comment."""
    end = terminated(str(sql))[len(sql) : -1] + impl.command_terminator
    impl.static_output(sql + end)


@contextmanager
def verbatim(impl: Any) -> Iterator[None]:
    """Make Alembic write exactly the given text, if it writes a script."""
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
