"""PostgreSQL."""

from __future__ import annotations

import re

from alembic_toolkit.sql.bodies import POSTGRESQL
from alembic_toolkit.sql.quoting import postgresql_literal
from alembic_toolkit.verbs.kinds.view import drop_sql
from alembic_toolkit.verbs.script import COMMON_SCRIPTS, write_as_it_is
from alembic_toolkit.verbs.servers.postgresql.act import (
    create_index,
    create_table,
    drop_index,
    is_for_undivided,
    replace_view,
    require_undivided,
    validate_constraint,
    validate_sql,
)
from alembic_toolkit.verbs.servers.postgresql.catalog import (
    QUESTIONS,
    answer,
    column,
    columns,
    constraints,
    hidden_schema,
    index,
    index_defined,
    index_text,
    placeholders,
)
from alembic_toolkit.verbs.servers.postgresql.concurrently import (
    add_column,
    add_constraint,
    add_unique,
    alter_column,
    drop_leftover,
    finish,
)
from alembic_toolkit.verbs.servers.postgresql.enums import (
    add_value,
    add_value_sql,
    create_enum_sql,
    rename_value,
    rename_value_sql,
)
from alembic_toolkit.verbs.servers.postgresql.script import (
    write_add_column,
    write_add_value,
    write_alter,
    write_alter_type,
    write_constraint,
    write_if,
    write_index,
    write_rename_value,
    write_unique,
    write_view,
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
    canonical_types={
        r"VARCHAR(\(\d{1,6}\))": r"character varying\1",
        r"(NUMERIC\(\d+), (\d+\))": r"\1,\2",
        "(INTEGER|BIGINT|SMALLINT|TEXT|DATE|BOOLEAN|TIMESTAMP WITH(?:OUT)? TIME ZONE)": r"\1",
    },
    foreign_keys=ForeignKeys(match_full=True, hidden_schema=hidden_schema),
    needs_cast=True,
    questions=QUESTIONS,
    ask=answer,
    placeholders=placeholders,
    columns=columns,
    column=column,
    constraints=constraints,
    index=index,
    index_defined=index_defined,
    index_text=index_text,
    undoes_scratch=True,
    verbs={
        "add_enum_value": add_value,
        "rename_enum_value": rename_value,
        "validate_constraint": validate_constraint,
    },
    acts={
        "create_table": create_table,
        "add_column": add_column,
        "alter_column": alter_column,
        "create_index": create_index,
        "drop_index": drop_index,
        "create_unique_constraint": add_unique,
        "create_check_constraint": add_constraint,
        "create_foreign_key": add_constraint,
        "replace_view": replace_view,
    },
    statements={
        "create_enum": create_enum_sql,
        "drop_enum": drop_sql,
        "add_enum_value": add_value_sql,
        "rename_enum_value": rename_value_sql,
        "validate_constraint": validate_sql,
    },
    concurrently=Concurrently(
        finish=finish,
        drop_leftover=drop_leftover,
        is_for_undivided=is_for_undivided,
        require_undivided=require_undivided,
    ),
    # psycopg reads neither 'infinity' nor a date before Christ
    paging=Paging(
        unpaged=re.compile(r"(?i)real|interval|jsonb?|bit|.*\[\]"),
        as_text=re.compile("(?i)date|timestamp"),
        reads_as_text=True,
    ),
    if_exists=frozenset(
        {
            "create_table",
            "drop_table",
            "add_column",
            "drop_column",
            "create_index",
            "drop_index",
            "drop_constraint",
            "drop_view",
            "drop_enum",
        }
    ),
    scripts=COMMON_SCRIPTS
    | {
        "add_column": write_add_column,
        "alter_column": write_alter,
        "alter_type": write_alter_type,
        "create_unique_constraint": write_unique,
        "create_check_constraint": write_constraint,
        "create_foreign_key": write_constraint,
        "create_index": write_index,
        "drop_index": write_index,
        "replace_view": write_view,
        "add_enum_value": write_add_value,
        "rename_enum_value": write_rename_value,
        "validate_constraint": write_as_it_is,
    },
    write_if=write_if,
    write_unless=write_if,
)
