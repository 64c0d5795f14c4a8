"""What scripts for MariaDB and MySQL do in their own way."""

from __future__ import annotations

from alembic_toolkit.sql.guarded import RUN_PREPARED, Guarded
from alembic_toolkit.sql.statements import Statement
from alembic_toolkit.verbs.script import condition, exists_condition, filled_question, write_guarded
from alembic_toolkit.verbs.servers.mysql.act import requested_parts
from alembic_toolkit.verbs.servers.mysql.catalog import OF_TABLE
from alembic_toolkit.verbs.values import Step


def write_if(step: Step, condition: str, sql: str) -> None:
    """Write a prepared statement: outside of a procedure there is no block with a condition."""
    write_prepared(step, f"IF({condition}, {step.database.literal(sql)}, 'DO 0')")


def write_prepared(step: Step, expression: str) -> None:
    """Write what runs the statement that an SQL expression results in."""
    step.write(Guarded(f"SET @alembic_sql = {expression}"))
    for statement in RUN_PREPARED:
        step.write(statement)


def write_both_if(step: Step, condition: str, sql: str, mark: str) -> None:
    """Write a transaction of the two, because only a single statement can be PREPAREd."""
    step.write("START TRANSACTION")
    step.write_if(condition, sql)
    step.write_if(condition, mark)
    step.write("COMMIT")


def write_statement(step: Step, statement: Statement) -> None:
    """Write a statement; one with semicolons inside cannot be PREPAREd, and needs a DELIMITER.

    https://dev.mysql.com/doc/refman/8.4/en/sql-prepared-statements.html
    """
    if not statement.is_compound:
        return step.write(statement.text)
    mark = next(mark for mark in DELIMITERS if mark not in statement.text)
    step.context.impl.static_output(f"DELIMITER {mark}\n{statement.text}\n{mark}\nDELIMITER ;")


DELIMITERS = ["//", "$$", ";;", *(f"//{number}" for number in range(1, 1000))]


def write_alter(step: Step) -> None:
    """Write a MODIFY of the whole column; what the revision does not give comes from the catalog.

    A MODIFY drops what is left out of it, and a script cannot look.  So the server puts the
    statement together when the script runs.
    """
    literal, column = step.database.literal, str(step.name)
    table = step.quoted_table
    name = step.database.quoted(column)
    requested = requested_parts(step, with_existing=True)
    parts = {
        key: CATALOG_PARTS[key] if text is None else literal(text)
        for key, text in requested.items()
    }
    if requested["default"] is None:
        plain = parts["null"], parts.pop("default"), parts.pop("counts")
        parts["null"] = GENERATED.format(*plain)
    kept_check = "@alembic_check"
    if step.operation.modify_type is not None:  # JSON brings its own along
        kept_check = "IF(@alembic_check LIKE '%json_valid%', '', @alembic_check)"
    pieces = [literal(f"ALTER TABLE {table} MODIFY {name} "), *parts.values(), kept_check]
    columns = step.server.questions["column"].replace("column_name FROM", "{} FROM", 1)
    asked = f"({filled_question(step, columns, step.table, column)})"
    text = asked.replace("{}", f"CONCAT({', '.join(pieces)})", 1)
    missing = literal(f"alembic: there is no column {table}.{name} to alter")
    check = filled_question(step, COLUMN_CHECK, step.table, column)
    step.write(Guarded("SET @alembic_check = ''"))
    step.write_if("VERSION() LIKE '%MariaDB%'", check)  # MySQL's checks are all the table's
    write_prepared(step, f"COALESCE({text}, {missing})")


COLUMN_CHECK = (
    "SELECT CONCAT(' CHECK (', check_clause, ')') INTO @alembic_check"
    " FROM information_schema.check_constraints"
    " WHERE constraint_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name AND level = 'Column'"
)
# The parts of a MODIFY in information_schema.columns.  MariaDB's column_default is an expression;
# MySQL's is bare text unless extra has DEFAULT_GENERATED:
# https://mariadb.com/kb/en/information-schema-columns-table/
CATALOG_PARTS = {
    "type": "column_type, IF(collation_name IS NULL, '',"
    " CONCAT(' CHARACTER SET ', character_set_name, ' COLLATE ', collation_name))",
    "null": "IF(is_nullable = 'NO', ' NOT NULL', ' NULL')",
    "default": "IF(column_default IS NULL OR column_default = 'NULL', '',"
    " CONCAT(' DEFAULT ', IF(VERSION() LIKE '%MariaDB%', column_default,"
    " IF(extra LIKE '%DEFAULT_GENERATED%', CONCAT('(', column_default, ')'),"
    " QUOTE(column_default)))))"
    ", IF(LOCATE('on update', extra) = 0, '',"
    " CONCAT(' ', SUBSTR(extra, LOCATE('on update', extra))))",
    "counts": "IF(extra LIKE '%auto_increment%', ' AUTO_INCREMENT', '')",
    "hidden": "IF(extra LIKE '%INVISIBLE%', ' INVISIBLE', '')",
    "comment": "IF(column_comment = '', '', CONCAT(' COMMENT ', QUOTE(column_comment)))",
}
GENERATED = (
    "IF(COALESCE(generation_expression, '') = '', CONCAT({}, {}, {}),"
    " CONCAT(' GENERATED ALWAYS AS (', generation_expression,"
    " IF(extra LIKE '%STORED%', ') STORED', ') VIRTUAL')))"
)


def write_drop_column(step: Step) -> None:
    """Write the drop of the foreign and unique keys that use the column, then its own."""
    alter = step.database.literal(f"ALTER TABLE {step.quoted_table} ")
    for keys in (FOREIGN_KEYS, UNIQUE_KEYS):
        asked = filled_question(step, keys, step.table, str(step.name)).replace("{}", alter, 1)
        write_prepared(step, f"COALESCE(({asked}), 'DO 0')")
    write_guarded(step)


FOREIGN_KEYS = (
    "SELECT CONCAT({}, GROUP_CONCAT(DISTINCT CONCAT('DROP FOREIGN KEY `',"
    " REPLACE(constraint_name, '`', '``'), '`'))) FROM information_schema.key_column_usage"
    f" {OF_TABLE} AND column_name = :name AND referenced_table_name IS NOT NULL"
)
# MariaDB does not shorten a unique key of several columns, as it does an index
UNIQUE_KEYS = (
    "SELECT CONCAT({}, GROUP_CONCAT(DISTINCT CONCAT('DROP INDEX `',"
    " REPLACE(index_name, '`', '``'), '`'))) FROM information_schema.statistics"
    f" {OF_TABLE} AND column_name = :name AND non_unique = 0 AND index_name <> 'PRIMARY'"
)


def write_drop_constraint(step: Step) -> None:
    """Write the drop; of a foreign key, with the index that came with it, unless it is needed."""
    type_ = step.operation.constraint_type
    alter = f"ALTER TABLE {step.quoted_table}"
    name = step.database.quoted(str(step.name))
    exists = exists_condition(step, what=type_ or "constraint")
    if type_ == "primary":
        return step.write_if(exists, f"{alter} DROP PRIMARY KEY")
    drop = {"foreignkey": "FOREIGN KEY", "unique": "INDEX"}.get(type_, "CONSTRAINT")
    may_be_foreign = type_ in ("foreignkey", None)
    if may_be_foreign:
        step.write(Guarded(f"SET @alembic_key = {exists_condition(step, what='foreignkey')}"))
    step.write_if(exists, f"{alter} DROP {drop} {name}")
    if may_be_foreign:
        unneeded = condition(step, UNNEEDED, step.table, str(step.name))
        step.write_if(f"@alembic_key AND {unneeded}", f"{alter} DROP INDEX {name}")


# an index of that name whose first column no foreign key needs, of this table or to it
UNNEEDED = (
    "SELECT 1 FROM information_schema.statistics AS s"
    " WHERE s.table_schema = COALESCE(:schema, DATABASE()) AND s.table_name = :table"
    " AND s.index_name = :name AND s.seq_in_index = 1 AND NOT EXISTS"
    " (SELECT 1 FROM information_schema.key_column_usage AS k"
    " WHERE k.referenced_table_name IS NOT NULL AND k.ordinal_position = 1 AND"
    " ((k.table_schema = s.table_schema AND k.table_name = s.table_name"
    " AND k.column_name = s.column_name) OR (k.referenced_table_schema = s.table_schema"
    " AND k.referenced_table_name = s.table_name AND k.referenced_column_name = s.column_name)))"
)
