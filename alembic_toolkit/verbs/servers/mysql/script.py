"""Scripts specific to MariaDB and MySQL."""

from __future__ import annotations

from contextlib import suppress

from alembic.util import CommandError

from alembic_toolkit.sql import offline
from alembic_toolkit.sql.guarded import RUN_PREPARED, Guarded, Marked, Single, Verbatim
from alembic_toolkit.sql.statements import Statement
from alembic_toolkit.verbs.act import rename_column_sql
from alembic_toolkit.verbs.kinds.column import can_be_collated
from alembic_toolkit.verbs.script import (
    condition,
    exists_condition,
    filled_question,
    plain_sql,
    write_as_it_is,
)
from alembic_toolkit.verbs.servers.mysql.act import requested_parts
from alembic_toolkit.verbs.servers.mysql.catalog import OF_TABLE
from alembic_toolkit.verbs.values import Step

# https://mariadb.com/kb/en/sql-mode/#no_backslash_escapes
MODES = (
    "SET @alembic_mode = @@sql_mode, sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
    "SET sql_mode = @alembic_mode",
)


def write_if(step: Step, condition: str, sql: str) -> None:
    """Write a prepared statement: there are no conditional blocks outside procedures."""
    step.comment(sql)
    look_if(step, condition, sql)


def look_if(step: Step, condition: str, sql: str) -> None:
    """Write a query only, for use by a later statement."""
    run = Verbatim if isinstance(sql, Verbatim) else Guarded
    write_prepared(step, f"IF({condition}, {step.database.literal(sql)}, 'DO 0')", run)


def write_prepared(step: Step, expression: str, run: type[Marked] = Guarded) -> None:
    """Write SQL that runs the statement produced by an SQL expression."""
    if run is not Guarded:  # it is parsed in the author's mode
        step.write(Guarded(f"SET @alembic_sql = {expression}"))
        for statement in RUN_PREPARED:
            step.write(run(statement))
        return
    with step.our_mode(expression):
        for statement in (Guarded(f"SET @alembic_sql = {expression}"), *RUN_PREPARED):
            offline.write_statement(step.context.impl, statement)


def write_both_if(step: Step, condition: str, sql: str, mark: str) -> None:
    """Write a transaction of both, because only a single statement can be PREPAREd."""
    step.write("START TRANSACTION")
    step.write_if(condition, sql)
    step.write_if(condition, mark)
    step.write("COMMIT")


def write_statement(step: Step, statement: Statement) -> None:
    """Write a statement; with inner semicolons it cannot be PREPAREd, and needs a DELIMITER.

    https://dev.mysql.com/doc/refman/8.4/en/sql-prepared-statements.html
    """
    if not statement.is_compound:
        return step.write(Single(statement.text))
    mark = next(mark for mark in DELIMITERS if mark not in statement.text)
    text = f"DELIMITER {mark}\n{statement.text}\n{mark}\nDELIMITER ;"
    step.context.impl.static_output(Verbatim(text))


DELIMITERS = ["//", "$$", ";;", *(f"//{number}" for number in range(1, 1000))]


def write_alter(step: Step) -> None:
    """Write a MODIFY of the whole column; the catalog supplies what the revision omits.

    A MODIFY drops every property it omits, and a script cannot query the database in advance.  So
    the server assembles the statement when the script runs.
    """
    with suppress(CommandError):  # the type is not given, and only the database knows it
        if step.is_plain:
            return write_as_it_is(step)
    literal, column = step.database.literal, str(step.name)
    table = step.quoted_table
    requested = requested_parts(step, with_existing=True)
    parts = {
        key: CATALOG_PARTS[key] if text is None else literal(text)
        for key, text in requested.items()
    }
    if requested["type"] is not None and can_be_collated(requested["type"]):
        parts["type"] += f", IF(@alembic_check LIKE '%json_valid%', '', {OWN_COLLATION})"
    if requested["default"] is None:
        plain = parts["null"], parts.pop("default"), parts.pop("counts")
        parts["null"] = GENERATED.format(*plain)
    kept_check = "@alembic_check"
    if step.operation.modify_type is not None:  # JSON has its own
        kept_check = "IF(@alembic_check LIKE '%json_valid%', '', @alembic_check)"
    # The stored one, not the revision's; names are utf8mb3, which must not apply to the whole.
    spelled = "CONVERT(REPLACE(column_name, '`', '``') USING utf8mb4)"
    alter = [literal(f"ALTER TABLE {table} MODIFY `"), spelled, literal("` ")]
    pieces = [*alter, *parts.values(), kept_check]
    columns = step.server.questions["column"].replace("column_name FROM", "{} FROM", 1)
    asked = f"({filled_question(step, columns, step.table, column)})"
    text = asked.replace("{}", f"CONCAT({', '.join(pieces)})", 1)
    name = step.database.quoted(column)
    missing = literal(f"alembic: there is no column {table}.{name} to alter")
    check = filled_question(step, COLUMN_CHECK, step.table, column)
    type_, *others = requested.values()
    given = "".join([type_ or "(its type)", *filter(None, others)])
    step.comment(f"ALTER TABLE {table} MODIFY {name} {given}\n(what it does not name is kept)")
    step.write(Guarded("SET @alembic_check = ''"))
    look_if(step, "VERSION() LIKE '%MariaDB%'", check)  # in MySQL all checks belong to the table
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
OWN_COLLATION = (
    "IF(collation_name IS NULL, '',"
    " CONCAT(' CHARACTER SET ', character_set_name, ' COLLATE ', collation_name))"
)
# MySQL shows each byte of an expression as a character: convert these to bytes.
AS_BYTES = (
    "COALESCE(IF(HEX(CONVERT({0} USING ucs2)) REGEXP '^(00..)*$', CONVERT(UNHEX(REGEXP_REPLACE("
    "HEX(CONVERT({0} USING ucs2)), '00(..)', '$1')) USING utf8mb4), NULL), {0})"
)
# And escaped as in a string; here a backslash is given by its number, for any sql_mode.
MEANT = (
    f"IF(VERSION() LIKE '%MariaDB%', {{0}}, REPLACE(REPLACE(REPLACE({AS_BYTES},"
    " CHAR(92, 92 USING utf8mb4), CHAR(1 USING utf8mb4)),"
    " CHAR(92, 39 USING utf8mb4), CHAR(39 USING utf8mb4)),"
    " CHAR(1 USING utf8mb4), CHAR(92 USING utf8mb4)))"
)
# A string on both servers, as a regular expression in SQL; and a pattern that removes strings from
# a text, but not quotes within a name.
STRING = r"\'(?:[^\'\\\\]|\\\\.|\'\')*\'"
OUTSIDE = f"REGEXP_REPLACE({{0}}, '(`(?:[^`]|``)*`)|{STRING}', '{{1}}')"
ONE, ONE_MARIADB = "$1", r"\\1"  # the first group
CATALOG_PARTS = {
    "type": f"column_type, {OWN_COLLATION}",
    "null": "IF(is_nullable = 'NO', ' NOT NULL', ' NULL')",
    "default": "IF(column_default IS NULL OR column_default = 'NULL', '',"
    " CONCAT(' DEFAULT ', IF(VERSION() LIKE '%MariaDB%', column_default,"
    " IF(extra NOT LIKE '%DEFAULT_GENERATED%', QUOTE(column_default),"
    " IF(column_default LIKE 'CURRENT_TIMESTAMP%', column_default,"
    f" CONCAT('(', {MEANT.format('column_default')}, ')'))))))"
    ", IF(LOCATE('on update', extra) = 0, '',"
    " CONCAT(' ', SUBSTR(extra, LOCATE('on update', extra))))",
    "counts": "IF(extra LIKE '%auto_increment%', ' AUTO_INCREMENT', '')",
    "hidden": "IF(extra LIKE '%INVISIBLE%', ' INVISIBLE', '')",
    "comment": "IF(column_comment = '', '', CONCAT(' COMMENT ', QUOTE(column_comment)))",
}
GENERATED = (
    "IF(COALESCE(generation_expression, '') = '', CONCAT({0}, {1}, {2}),"
    f" CONCAT(' GENERATED ALWAYS AS (', {MEANT.format('generation_expression')},"
    " IF(extra LIKE '%STORED%', ') STORED', ') VIRTUAL'),"
    " IF(VERSION() LIKE '%MariaDB%', '', {0})))"
)


def write_drop_column(step: Step) -> None:
    """Write one ALTER, with the keys and checks that use the column, as the server has them."""
    if step.is_plain:
        return write_as_it_is(step)
    name = str(step.name)
    column = step.database.literal(step.database.quoted(name))
    show_plain(step)
    step.write(Guarded("SET @alembic_checks = NULL"))
    for version, checks in CHECKS.items():
        parts = (filled_question(step, p, step.table, name) for p in checks.split("{}"))
        asked = column.join(parts)  # last, because its name may look like a placeholder
        look_if(step, f"VERSION() {version} '%MariaDB%'", asked)
    clauses = [filled_question(step, keys, step.table, name) for keys in (FOREIGN, UNIQUE)]
    drop = step.database.literal(f"DROP COLUMN {step.database.quoted(name)}")
    there = exists_condition(step)
    write_alter_of(step, there, *(f"({c})" for c in clauses), "@alembic_checks", drop)


def show_plain(step: Step) -> None:
    """Write, as a comment, the statement that Alembic would write."""
    for sql in plain_sql(step):
        step.comment(sql)


def write_alter_of(step: Step, condition: str, *clauses: str) -> None:
    """Write an ALTER TABLE from clauses that are SQL expressions, omitting those that are NULL."""
    alter = step.database.literal(f"ALTER TABLE {step.quoted_table} ")
    text = f"CONCAT({alter}, CONCAT_WS(', ', {', '.join(clauses)}))"
    write_prepared(step, f"IF({condition}, {text}, 'DO 0')")


FOREIGN = (
    "SELECT GROUP_CONCAT(DISTINCT CONCAT('DROP FOREIGN KEY `',"
    " REPLACE(constraint_name, '`', '``'), '`')) FROM information_schema.key_column_usage"
    f" {OF_TABLE} AND column_name = :name AND referenced_table_name IS NOT NULL"
)
# MariaDB shortens an index, but not a unique key, of several columns
UNIQUE = (
    "SELECT GROUP_CONCAT(DISTINCT CONCAT('DROP INDEX `',"
    " REPLACE(index_name, '`', '``'), '`')) FROM information_schema.statistics"
    f" {OF_TABLE} AND column_name = :name AND non_unique = 0 AND index_name <> 'PRIMARY'"
)
# Both servers quote a column in a check, and a string may contain the same text.  MySQL also has
# indexes on expressions, and its check names are unique in the whole database:
# https://dev.mysql.com/doc/refman/8.4/en/information-schema-check-constraints-table.html
CHECKS = {
    "LIKE": "SELECT GROUP_CONCAT(CONCAT('DROP CONSTRAINT `', REPLACE(constraint_name, '`', '``'),"
    " '`')) INTO @alembic_checks FROM information_schema.check_constraints"
    " WHERE constraint_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
    " AND level = 'Table'"
    f" AND LOCATE(LOWER({{}}), LOWER({OUTSIDE.format('check_clause', ONE_MARIADB)}))",
    "NOT LIKE": "SELECT NULLIF(CONCAT_WS(', ', (SELECT GROUP_CONCAT(CONCAT('DROP CHECK `',"
    " REPLACE(c.constraint_name, '`', '``'), '`'))"
    " FROM information_schema.check_constraints AS c"
    " JOIN information_schema.table_constraints AS k"
    " ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name"
    " WHERE c.constraint_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
    f" AND LOCATE(LOWER({{}}), LOWER({OUTSIDE.format(MEANT.format('c.check_clause'), ONE)}))),"
    " (SELECT GROUP_CONCAT(DISTINCT CONCAT('DROP INDEX `', REPLACE(s.index_name, '`', '``'), '`'))"
    " FROM information_schema.statistics AS s"
    " WHERE s.table_schema = COALESCE(:schema, DATABASE()) AND s.table_name = :table"
    f" AND LOCATE(LOWER({{}}), LOWER({OUTSIDE.format(MEANT.format('s.expression'), ONE)}))"
    " AND NOT EXISTS"
    # except those that UNIQUE drops already
    f" (SELECT 1 FROM information_schema.statistics {OF_TABLE} AND index_name = s.index_name"
    " AND column_name = :name AND non_unique = 0))), '') INTO @alembic_checks",
}


def write_rename_column(step: Step, new_name: str, condition: str) -> None:
    """Write one ALTER; on MySQL, with updated checks and expression indexes."""
    database, name = step.database, str(step.name)
    step.comment(rename_column_sql(step, new_name))
    asked = filled_question(step, step.server.questions["column"], step.table, name)
    step.write(Guarded(f"SET @alembic_old = CONCAT('`', REPLACE(({asked}), '`', '``'), '`')"))
    renamed = database.quoted(new_name)
    step.write(Guarded(f"SET @alembic_new = {database.literal(renamed)}, @alembic_more = NULL"))
    more = filled_question(step, FOLLOWING, step.table, name)
    look_if(step, "VERSION() NOT LIKE '%MariaDB%'", more)
    rename = database.literal(f"RENAME COLUMN {database.quoted(name)} TO {renamed}")
    write_alter_of(step, condition, rename, "@alembic_more")


OLD = "CONVERT(@alembic_old USING utf8mb4) COLLATE utf8mb4_bin"
# Replaces the old name by the new one in a text: from the last match on, skipping strings and
# other names.  https://unicode-org.github.io/icu/userguide/strings/regexp.html
EXACTLY = (
    r"CONCAT('\\Q', REPLACE(CONVERT(@alembic_old USING utf8mb4), '\\E', '\\E\\\\E\\Q'), '\\E')"
)
NEW = r"REPLACE(REPLACE(CONVERT(@alembic_new USING utf8mb4), '\\', '\\\\'), '$', '\\$')"
RENAMED = (
    f"REGEXP_REPLACE(CONVERT({{}} USING utf8mb4) COLLATE utf8mb4_bin,"
    f" CONCAT('\\\\G((?:[^\\'`]|{STRING}|(?!', {EXACTLY}, ')`(?:[^`]|``)*`)*)', {EXACTLY}),"
    f" CONCAT('$1', {NEW}))"
)
MORE_CHECKS = (
    "SELECT GROUP_CONCAT(CONVERT(CONCAT('DROP CHECK `', REPLACE(c.constraint_name, '`', '``'),"
    " '`, ADD CONSTRAINT `', REPLACE(c.constraint_name, '`', '``'), '` CHECK ',"
    f" {RENAMED.format(MEANT.format('c.check_clause'))},"
    " IF(k.enforced = 'NO', ' NOT ENFORCED', '')) USING utf8mb4) SEPARATOR ', ')"
    " FROM information_schema.check_constraints AS c"
    " JOIN information_schema.table_constraints AS k"
    " ON k.constraint_schema = c.constraint_schema AND k.constraint_name = c.constraint_name"
    " WHERE c.constraint_schema = COALESCE(:schema, DATABASE()) AND k.table_name = :table"
    f" AND LOCATE({OLD}, {OUTSIDE.format(MEANT.format('c.check_clause'), ONE)})"
)
MORE_PARTS = (
    "SELECT REPLACE(CONVERT(index_name USING utf8mb4), '`', '``') AS name,"
    " MIN(non_unique) AS non_unique, MIN(is_visible) AS is_visible,"
    " MIN(CONVERT(index_comment USING utf8mb4)) AS comment,"
    f" SUM(LOCATE({OLD}, {OUTSIDE.format(MEANT.format('expression'), ONE)})) AS uses,"
    " GROUP_CONCAT(CONVERT(CONCAT(IF(expression IS NULL,"
    " CONCAT('`', REPLACE(CONVERT(column_name USING utf8mb4), '`', '``'), '`',"
    " IF(sub_part IS NULL, '', CONCAT('(', sub_part, ')'))),"
    f" CONCAT('(', {MEANT.format('expression')}, ')')), IF(collation = 'D', ' DESC', ''))"
    " USING utf8mb4) ORDER BY seq_in_index SEPARATOR ', ') AS parts"
    f" FROM information_schema.statistics {OF_TABLE} GROUP BY index_name"
)
MORE_INDEXES = (
    "SELECT GROUP_CONCAT(CONVERT(CONCAT('DROP INDEX `', i.name, '`, ADD ',"
    f" IF(i.non_unique, '', 'UNIQUE '), 'INDEX `', i.name, '` (', {RENAMED.format('i.parts')},"
    " ')', IF(i.is_visible = 'NO', ' INVISIBLE', ''),"
    " IF(i.comment = '', '', CONCAT(' COMMENT ', QUOTE(i.comment)))) USING utf8mb4) SEPARATOR ', ')"
    f" FROM ({MORE_PARTS}) AS i WHERE i.uses > 0"
)
FOLLOWING = (
    "SELECT /*+ SET_VAR(group_concat_max_len = 1000000) */"
    f" NULLIF(CONCAT_WS(', ', ({MORE_CHECKS}), ({MORE_INDEXES})), '') INTO @alembic_more"
)


def write_drop_index(step: Step) -> None:
    """Write the DROP, with the index that a foreign key then needs."""
    if step.is_plain:
        return write_as_it_is(step)
    show_plain(step)
    drop = step.database.literal(f"DROP INDEX {step.database.quoted(str(step.name))}")
    write_alter_of(step, exists_condition(step), needed_indexes(step), drop)


def needed_indexes(step: Step) -> str:
    """Return an SQL expression for the clauses that create the indexes foreign keys then need."""
    return f"({filled_question(step, NEEDED, step.table, str(step.name))})"


NEEDED = (
    "SELECT GROUP_CONCAT(CONCAT('ADD INDEX `', REPLACE(k.name, '`', '``'), '` (', k.quoted, ')'))"
    " FROM (SELECT constraint_name AS name,"
    " GROUP_CONCAT(column_name ORDER BY ordinal_position) AS names,"
    " GROUP_CONCAT(CONCAT('`', REPLACE(column_name, '`', '``'), '`')"
    " ORDER BY ordinal_position) AS quoted"
    f" FROM information_schema.key_column_usage {OF_TABLE} AND referenced_table_name IS NOT NULL"
    " GROUP BY constraint_name) AS k WHERE k.name <> :name AND NOT EXISTS"
    " (SELECT 1 FROM (SELECT index_name AS name,"
    " GROUP_CONCAT(column_name ORDER BY seq_in_index) AS names"
    f" FROM information_schema.statistics {OF_TABLE} AND index_type = 'BTREE'"
    " GROUP BY index_name) AS i WHERE i.name <> :name AND"
    " LEFT(CONCAT(i.names, ','), CHAR_LENGTH(k.names) + 1) = CONCAT(k.names, ','))"
)


def write_drop_constraint(step: Step) -> None:
    """Write the DROP; for a foreign key, with its index, unless that is needed."""
    type_ = step.operation.constraint_type
    alter = f"ALTER TABLE {step.quoted_table}"
    name = step.database.quoted(str(step.name))
    exists = exists_condition(step, what=type_ or "constraint")
    if type_ == "primary":
        return step.write_if(exists, f"{alter} DROP PRIMARY KEY")
    drop = {"foreignkey": "FOREIGN KEY", "unique": "INDEX"}.get(type_, "CONSTRAINT")
    if step.is_plain:
        return step.write(f"{alter} DROP {drop} {name}")
    may_be_foreign = type_ in ("foreignkey", None)
    if may_be_foreign:
        step.write(Guarded(f"SET @alembic_key = {exists_condition(step, what='foreignkey')}"))
    if type_ in ("unique", None):
        step.comment(f"{alter} DROP {drop} {name}")
        write_alter_of(
            step, exists, needed_indexes(step), step.database.literal(f"DROP {drop} {name}")
        )
    else:
        step.write_if(exists, f"{alter} DROP {drop} {name}")
    if may_be_foreign:
        unneeded = condition(step, UNNEEDED, step.table, str(step.name))
        step.write_if(f"@alembic_key AND {unneeded}", f"{alter} DROP INDEX {name}")


# an index of that name whose first column is needed by no foreign key, in either direction
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
