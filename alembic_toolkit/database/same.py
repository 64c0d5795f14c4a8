"""Conditions for our own tables whose operators cannot be replaced by other users."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles


class Same(sa.BinaryExpression[bool]):
    """A condition that a column equals a value."""

    inherit_cache = False

    def __init__(self, column: sa.ColumnElement[Any], value: Any) -> None:
        plain: Any = column == value
        super().__init__(plain.left, plain.right, plain.operator, type_=plain.type)


@compiles(Same, "postgresql")
def _pinned(same: Same, compiler: Any, **kw: Any) -> str:
    left, right = (compiler.process(side, **kw) for side in (same.left, same.right))
    return f"{left} OPERATOR(pg_catalog.=) {right}"


class Begins(sa.BinaryExpression[bool]):
    """A condition that a column begins with a text, without wildcards."""

    inherit_cache = False

    def __init__(self, column: sa.ColumnElement[Any], text: str) -> None:
        plain: Any = column.like(f"{text}%")
        super().__init__(plain.left, plain.right, plain.operator, type_=plain.type)


@compiles(Begins, "postgresql")
def _pinned_begins(begins: Begins, compiler: Any, **kw: Any) -> str:
    left, right = (compiler.process(side, **kw) for side in (begins.left, begins.right))
    return f"{left} OPERATOR(pg_catalog.~~) {right}"
