"""MariaDB and MySQL."""

from __future__ import annotations

import re

from alembic_toolkit.sql.quoting import mysql_literal
from alembic_toolkit.verbs.act import refuse_exclusion
from alembic_toolkit.verbs.script import COMMON_SCRIPTS, skip_validation, write_as_it_is
from alembic_toolkit.verbs.servers.mysql import act, catalog, existing, keys, script
from alembic_toolkit.verbs.values import ForeignKeys, Paging, Server

SERVER = Server(
    name="mysql",
    mark="`",
    primary_key_name="PRIMARY",
    literal=lambda text, dialect: mysql_literal(text, catalog.has_escapes(dialect)),
    modes=script.MODES,
    syntax=act.syntax,
    canonical_types={
        r"(VARCHAR\(\d{1,4}\)|TEXT|DATE|DATETIME)": r"\1",
        r"NUMERIC(\(\d+), (\d+\))": r"decimal\1,\2",
    },
    counts_up="AUTO_INCREMENT",
    kept_comment=catalog.kept_comment,
    # NO ACTION is RESTRICT, DEFERRABLE is ignored: https://mariadb.com/kb/en/foreign-keys/
    foreign_keys=ForeignKeys(
        default_actions=frozenset({"NO ACTION", "RESTRICT"}), are_deferrable=False
    ),
    lacks=frozenset({"enum"}),
    commits=act.COMMITS,
    questions=catalog.QUESTIONS,
    ask=catalog.answer,
    placeholders=catalog.placeholders,
    columns=catalog.columns,
    constraints=catalog.constraints,
    index=catalog.index,
    index_defined=catalog.index_defined,
    index_text=catalog.index_text,
    users=catalog.users,
    require_existing=existing.require_existing,
    adds_whole=True,
    referring=lambda step: [(key.name, table) for key, table in keys.referring_keys(step)],
    # sql_require_primary_key, and MariaDB's innodb_force_primary_key: also for temporary tables.
    # https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_sql_require_primary_key
    requires_key=True,
    kept_type=existing.kept_type,
    temporary_views=False,
    table_defaults=catalog.table_defaults,
    verbs={"drop_index": act.drop_index},
    acts={
        "create_exclude_constraint": refuse_exclusion,
        "create_table": act.create_table,
        "add_column": act.add_column,
        "create_index": act.create_index,
        "create_unique_constraint": act.add_unique,
        "alter_column": act.alter_column,
        "drop_column": act.drop_column,
        "drop_constraint": act.drop_constraint,
        "drop_index": act.drop_listed_index,
        "replace_check": act.replace_check,
    },
    paging=Paging(unpaged=re.compile(r"(?i)enum|set|float|bit|json"), compares_rows=False),
    if_exists=frozenset({"create_table", "drop_table", "drop_view"}),  # MySQL has it for no others
    scripts=COMMON_SCRIPTS
    | {
        "alter_type": script.write_alter,
        "drop_column": script.write_drop_column,
        "drop_index": script.write_drop_index,
        "drop_constraint": script.write_drop_constraint,
        "create_exclude_constraint": refuse_exclusion,
        "replace_view": write_as_it_is,
        "validate_constraint": skip_validation,
    },
    write_if=script.write_if,
    write_unless=script.write_if,
    write_both_if=script.write_both_if,
    write_rename_column=script.write_rename_column,
    write_statement=script.write_statement,
)
