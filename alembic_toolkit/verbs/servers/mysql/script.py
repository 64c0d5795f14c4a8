"""What scripts for MariaDB and MySQL say in their own way."""

from __future__ import annotations

from alembic_toolkit.sql.statements import Statement
from alembic_toolkit.verbs.script import condition, exists_condition, filled_question, write_guarded
from alembic_toolkit.verbs.servers.mysql.act import requested_parts
from alembic_toolkit.verbs.values import Step


def write_if(step: Step, condition: str, sql: str) -> None:
    """Write a prepared statement: outside of a procedure there is no block with a condition."""
    step.write(f"SET @alembic_sql = IF({condition}, {step.database.literal(sql)}, 'DO 0')")
    write_prepared(step)


def write_prepared(step: Step) -> None:
    """Write what runs the statement in ``@alembic_sql``."""
    step.write("PREPARE alembic_statement FROM @alembic_sql")
    step.write("EXECUTE alembic_statement")
    step.write("DEALLOCATE PREPARE alembic_statement")


def write_both_if(step: Step, condition: str, sql: str, mark: str) -> None:
    """Write a transaction of the two; only single statements can be PREPAREd."""
    step.write("START TRANSACTION")
    step.write_if(condition, sql)
    step.write_if(condition, mark)
    step.write("COMMIT")


def write_statement(step: Step, statement: Statement) -> None:
    """Write a statement with semicolons inside behind a DELIMITER: it cannot be PREPAREd there.

    https://dev.mysql.com/doc/refman/8.4/en/sql-prepared-statements.html
    """
    if not statement.is_compound:
        return step.write(statement.text)
    mark = next(mark for mark in DELIMITERS if mark not in statement.text)
    step.context.impl.static_output(f"DELIMITER {mark}\n{statement.text}\n{mark}\nDELIMITER ;")


DELIMITERS = ["//", "$$", ";;", *(f"//{number}" for number in range(1, 1000))]


def write_alter(step: Step) -> None:
    """Write a MODIFY that says the whole column: what the revision does not give, the server adds.

    What is left out of a MODIFY is lost, and a script cannot look; so the statement is put together
    on the server, from what its catalog says of the column at that moment.
    """
    table, name = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    pieces = [step.database.literal(f"ALTER TABLE {table} MODIFY {name} "), *modify_parts(step)]
    columns = step.server.questions["column"].replace("column_name FROM", "{} FROM", 1)
    asked = f"({filled_question(step, columns, step.table, str(step.name))})"
    missing = step.database.literal(f"alembic: there is no column {table}.{name} to alter")
    text = asked.replace("{}", f"CONCAT({', '.join(pieces)})", 1)
    check = filled_question(step, COLUMN_CHECK, step.table, str(step.name))
    step.write("SET @alembic_check = ''")
    step.write_if("VERSION() LIKE '%MariaDB%'", check)  # MySQL's checks are all the table's
    step.write(f"SET @alembic_sql = COALESCE({text}, {missing})")
    write_prepared(step)


COLUMN_CHECK = (
    "SELECT CONCAT(' CHECK (', check_clause, ')') INTO @alembic_check"
    " FROM information_schema.check_constraints"
    " WHERE constraint_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND constraint_name = :name AND level = 'Column'"
)


def modify_parts(step: Step) -> list[str]:
    """Return the parts of a MODIFY: SQL strings, or what the catalog says of the column."""
    said = requested_parts(step, step.database.dialect, existing=True)
    is_computed = (said["default"] or "").startswith(" GENERATED")
    if is_computed:
        said |= {"null": "", "counts": ""}
    found = {
        key: CATALOG_PARTS[key] if text is None else step.database.literal(text)
        for key, text in said.items()
    }
    if said["default"] is None:
        plain = (found.pop(key) for key in ("null", "default", "counts"))
        found["null"] = GENERATED.format(*plain)
    order = ("type", "null", "default", "counts", "hidden", "comment")
    check = "@alembic_check"
    if step.operation.modify_type is not None:  # JSON brings its own along
        check = "IF(@alembic_check LIKE '%json_valid%', '', @alembic_check)"
    return [found[key] for key in order if key in found] + [check]


# What information_schema.columns says of a column, as MODIFY wants it said.  MariaDB's
# column_default is an expression; MySQL's a bare text unless extra says DEFAULT_GENERATED:
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
    table = step.database.quoted(step.table, step.schema)
    for drop, name, catalog, keys_only in KEYS_OF_COLUMN:
        keys = (
            f"SELECT CONCAT({{}}, GROUP_CONCAT(DISTINCT CONCAT('{drop} `',"
            f" REPLACE({name}, '`', '``'), '`'))) FROM information_schema.{catalog}"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
            f" AND column_name = :name AND {keys_only}"
        )
        asked = f"({filled_question(step, keys, step.table, str(step.name))})"
        asked = asked.replace("{}", step.database.literal(f"ALTER TABLE {table} "), 1)
        step.write(f"SET @alembic_sql = COALESCE({asked}, 'DO 0')")
        write_prepared(step)
    write_guarded(step)


# MariaDB does not shorten a unique key of several columns, as it does an index
KEYS_OF_COLUMN = (
    (
        "DROP FOREIGN KEY",
        "constraint_name",
        "key_column_usage",
        "referenced_table_name IS NOT NULL",
    ),
    ("DROP INDEX", "index_name", "statistics", "non_unique = 0 AND index_name <> 'PRIMARY'"),
)


def write_drop_constraint(step: Step) -> None:
    """Write the drop; of a foreign key, with the index that came with it, unless it is needed."""
    type_ = step.operation.constraint_type
    table, name = (
        step.database.quoted(step.table, step.schema),
        step.database.quoted(str(step.name)),
    )
    if type_ == "primary":
        return step.write_if(
            exists_condition(step, what="primary"), f"ALTER TABLE {table} DROP PRIMARY KEY"
        )
    drop = {"foreignkey": "FOREIGN KEY", "unique": "INDEX"}.get(type_, "CONSTRAINT")
    if type_ in ("foreignkey", None):
        step.write(f"SET @alembic_key = {exists_condition(step, what='foreignkey')}")
    step.write_if(
        exists_condition(step, what=type_ or "constraint"),
        f"ALTER TABLE {table} DROP {drop} {name}",
    )
    if type_ in ("foreignkey", None):
        unneeded = condition(step, UNNEEDED, step.table, str(step.name))
        step.write_if(f"@alembic_key AND {unneeded}", f"ALTER TABLE {table} DROP INDEX {name}")


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
