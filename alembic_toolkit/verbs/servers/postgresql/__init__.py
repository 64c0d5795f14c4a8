"""PostgreSQL."""

from __future__ import annotations

import re

from alembic_toolkit.sql.bodies import POSTGRESQL
from alembic_toolkit.sql.quoting import postgresql_literal
from alembic_toolkit.verbs.kinds.view import drop_sql
from alembic_toolkit.verbs.script import COMMON_SCRIPTS, write_as_it_is
from alembic_toolkit.verbs.servers.postgresql import (
    act,
    alter,
    catalog,
    concurrently,
    enums,
    script,
    spelling,
    types,
)
from alembic_toolkit.verbs.values import Concurrently, ForeignKeys, Paging, Server

SERVER = Server(
    name="postgresql",
    longest_name=63,
    folds_case=False,
    literal=lambda text, dialect: postgresql_literal(text),
    bytes_literal=r"'\x{}'",
    syntax=lambda dialect: POSTGRESQL,
    normal_forms=True,
    one_spelling=spelling.one_spelling,
    canonical_types={
        r"VARCHAR(\(\d{1,6}\))": r"character varying\1",
        r"(NUMERIC\(\d+), (\d+\))": r"\1,\2",
        "(INTEGER|BIGINT|SMALLINT|TEXT|DATE|BOOLEAN|TIMESTAMP WITH(?:OUT)? TIME ZONE)": r"\1",
    },
    foreign_keys=ForeignKeys(match_full=True, hidden_schema=catalog.hidden_schema),
    needs_cast=True,
    questions=catalog.QUESTIONS,
    ask=catalog.answer,
    placeholders=catalog.placeholders,
    columns=catalog.columns,
    column=catalog.column,
    constraints=catalog.constraints,
    index=catalog.index,
    index_defined=catalog.index_defined,
    index_text=catalog.index_text,
    bring_types=types.bring_types,
    kept_type=alter.kept_type,
    rereads_checks=True,
    temporary_schema="pg_temp",
    undoes_scratch=True,
    verbs={
        "add_enum_value": enums.add_value,
        "rename_enum_value": enums.rename_value,
        "validate_constraint": act.validate_constraint,
    },
    acts={
        "create_table": act.create_table,
        "add_column": concurrently.add_column,
        "alter_column": alter.alter_column,
        "create_index": act.create_index,
        "drop_index": act.drop_index,
        "create_unique_constraint": concurrently.add_unique,
        "create_check_constraint": concurrently.add_constraint,
        "create_foreign_key": concurrently.add_constraint,
        "replace_view": act.replace_view,
    },
    statements={
        "create_enum": enums.create_enum_sql,
        "drop_enum": drop_sql,
        "add_enum_value": enums.add_value_sql,
        "rename_enum_value": enums.rename_value_sql,
        "validate_constraint": act.validate_sql,
    },
    concurrently=Concurrently(
        finish=concurrently.finish,
        drop_leftover=concurrently.drop_leftover,
        is_for_undivided=act.is_for_undivided,
        require_undivided=act.require_undivided,
    ),
    # psycopg reads neither 'infinity' nor a date before Christ
    paging=Paging(
        unpaged=re.compile(r"(?i)real|interval|jsonb?|bit|.*\[\]"),
        as_text=re.compile("(?i)date|timestamp"),
    ),
    if_exists=frozenset({"create_table", "add_column", "create_index"})
    | {"drop_table", "drop_column", "drop_index", "drop_constraint", "drop_view", "drop_enum"},
    scripts=COMMON_SCRIPTS
    | {
        "add_column": script.write_add_column,
        "alter_column": script.write_alter,
        "alter_type": script.write_alter_type,
        "create_unique_constraint": script.write_unique,
        "create_check_constraint": script.write_constraint,
        "create_foreign_key": script.write_constraint,
        "create_index": script.write_index,
        "drop_index": script.write_index,
        "replace_view": script.write_view,
        "add_enum_value": script.write_add_value,
        "rename_enum_value": script.write_rename_value,
        "validate_constraint": write_as_it_is,
    },
    write_if=script.write_if,
    write_unless=script.write_if,
)
