"""The types that a column needs: created or confirmed before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.dialects.postgresql.named_types import CreateDomainType

from alembic_toolkit.sql.quoting import postgresql_literal, unescaped_percent
from alembic_toolkit.verbs.ensure import ensure
from alembic_toolkit.verbs.script import exists_condition, plain_sql
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log_done, log_skip


def bring_types(step: Step, types: Iterable[Any]) -> None:
    """Create or confirm the enum types and domains of columns.

    The revision leaves a type with ``create_type=False`` to the database.
    """
    made: set[tuple[str | None, str]] = set()
    for type_ in (one for given in types for one in named_types(given, step.database.dialect)):
        key = type_.schema, str(type_.name)
        if key in made or not getattr(type_, "create_type", True):
            continue
        made.add(key)
        if isinstance(type_, DOMAIN):
            bring_domain(step, type_)
        else:
            about = "create_enum", "enum", key[1], "", type_.schema, list(type_.enums)
            bring_enum(Step(step.operations, None, *about))


def bring_enum(step: Step) -> None:
    """Create an enum type, or confirm the existing one.

    A script for review checks as well: only the database knows if an earlier revision created it.
    """
    if step.is_plain and step.server.write_if is not None:
        [sql] = plain_sql(step)
        if step.is_written(sql):
            return None
        return step.server.write_if(step, f"NOT {exists_condition(step)}", sql)
    ensure(step)


def named_types(type_: Any, dialect: sa.Dialect) -> Iterator[Any]:
    """Yield the named types within a type, at any depth."""
    made = sa.types.to_instance(type_)
    made = getattr(made, "_variant_mapping", {}).get(dialect.name, made)
    if isinstance(made, sa.types.TypeDecorator):
        yield from named_types(made.load_dialect_impl(dialect), dialect)
    elif isinstance(made, sa.types.ARRAY):
        yield from named_types(made.item_type, dialect)
    elif isinstance(made, DOMAIN):
        yield from named_types(made.data_type, dialect)
        yield made
    elif isinstance(made, sa.types.Enum) and made.native_enum and made.name:
        yield made


def bring_domain(step: Step, domain: DOMAIN) -> None:
    """Create a domain, or keep the existing one: its definition is not compared."""
    dialect = step.database.dialect
    sql = unescaped_percent(str(CreateDomainType(domain).compile(dialect=dialect)), dialect)
    name = postgresql_literal(step.database.quoted(str(domain.name), domain.schema))
    if step.offline:
        write_if = step.server.write_if or Step.write_if
        return write_if(step, f"pg_catalog.to_regtype({name}) IS NULL", sql)
    about = Step(step.operations, None, "create_domain", "type", str(domain.name))
    if step.database.run(f"SELECT pg_catalog.to_regtype({name})").scalar() is not None:
        return log_skip(about, "already there, compared by name")
    step.database.run(sql)
    log_done(about)
