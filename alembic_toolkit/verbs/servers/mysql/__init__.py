"""MariaDB and MySQL."""

from __future__ import annotations

import re

from alembic_toolkit.sql.quoting import mysql_literal
from alembic_toolkit.verbs.act import refuse_exclusion
from alembic_toolkit.verbs.script import COMMON_SCRIPTS, skip_validation, write_as_it_is
from alembic_toolkit.verbs.servers.mysql.act import (
    COMMITS,
    alter_column,
    drop_column,
    drop_constraint,
    syntax,
)
from alembic_toolkit.verbs.servers.mysql.catalog import (
    QUESTIONS,
    answer,
    columns,
    constraints,
    has_escapes,
    index,
    index_text,
    placeholders,
    table_defaults,
)
from alembic_toolkit.verbs.servers.mysql.script import (
    write_alter,
    write_both_if,
    write_drop_column,
    write_drop_constraint,
    write_if,
    write_statement,
)
from alembic_toolkit.verbs.values import ForeignKeys, Paging, Server

SERVER = Server(
    name="mysql",
    mark="`",
    primary_key_name="PRIMARY",
    literal=lambda text, dialect: mysql_literal(text, has_escapes(dialect)),
    syntax=syntax,
    canonical_types={
        r"(VARCHAR\(\d{1,4}\)|TEXT|DATE|DATETIME)": r"\1",
        r"NUMERIC(\(\d+), (\d+\))": r"decimal\1,\2",
    },
    counts_up="AUTO_INCREMENT",
    # NO ACTION is RESTRICT, DEFERRABLE is read and forgotten: https://mariadb.com/kb/en/foreign-keys/
    foreign_keys=ForeignKeys(
        default_actions=frozenset({"NO ACTION", "RESTRICT"}), are_deferrable=False
    ),
    lacks=frozenset({"enum"}),
    commits=COMMITS,
    questions=QUESTIONS,
    ask=answer,
    placeholders=placeholders,
    columns=columns,
    constraints=constraints,
    index=index,
    index_text=index_text,
    drops_temporary=True,
    temporary_views=False,
    table_defaults=table_defaults,
    acts={
        "create_exclude_constraint": refuse_exclusion,
        "alter_column": alter_column,
        "drop_column": drop_column,
        "drop_constraint": drop_constraint,
    },
    paging=Paging(unpaged=re.compile(r"(?i)enum|set|float|bit|json"), compares_rows=False),
    if_exists=frozenset({"create_table", "drop_table", "drop_view"}),  # MySQL has no others
    scripts=COMMON_SCRIPTS
    | {
        "alter_type": write_alter,
        "drop_column": write_drop_column,
        "drop_constraint": write_drop_constraint,
        "create_exclude_constraint": refuse_exclusion,
        "replace_view": write_as_it_is,
        "validate_constraint": skip_validation,
    },
    write_if=write_if,
    write_unless=write_if,
    write_both_if=write_both_if,
    write_statement=write_statement,
)
