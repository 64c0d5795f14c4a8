"""Alternatives to a statement that makes others wait, as code with the author's names."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from alembic_toolkit.prove.locks.rows import is_joined, last, outside, says, split, target
from alembic_toolkit.prove.locks.seen import Seen, Use
from alembic_toolkit.prove.results import COPIED, END, EVERYBODY
from alembic_toolkit.rows.tables.table import without_strings
from alembic_toolkit.sql.tokens import split_list, tokenize

_WINDOW = "# when nobody uses {table}: nothing does this without the wait"
_IN_FILE = """\
# when nobody writes: SQLite has one writer, and this is as long as {table}; let the others wait
# for it instead of failing, where the application connects:
connection.execute("PRAGMA busy_timeout = 60000")"""
_IMPORT = "import alembic_helpers as helpers"
_OF_ITS_OWN = "# a revision of its own, after this one:"
_LINES = 6  # of a statement that is moved
_LATER = "# a later revision, when no code uses the old column any more:"


@dataclass(frozen=True)
class Author:
    """Whose revision it is, and for which kind of server."""

    path: Path | None
    is_mysql: bool  # MariaDB or MySQL
    is_file: bool


@dataclass(frozen=True)
class Call:
    """The author's call: its source, and the operations that it belongs to."""

    node: ast.Call
    source: str  # of the file
    is_verb: bool = False  # of the guarded verbs
    is_batch: bool = False  # of a batch, which names the table itself

    @property
    def prefix(self) -> str:
        """Return what stands before the verb: ``helpers`` or ``op``."""
        return ast.unparse(self.node.func).rpartition(".")[0]

    @property
    def verb(self) -> str:
        return ast.unparse(self.node.func).rpartition(".")[2]

    def _text(self, node: ast.expr) -> str:
        return " ".join((ast.get_source_segment(self.source, node) or ast.unparse(node)).split())

    def keyword(self, name: str) -> str:
        """Return an argument as the author wrote it."""
        return next((self._text(k.value) for k in self.node.keywords if k.arg == name), "")

    def argument(self, position: int) -> str:
        """Return a positional argument as the author wrote it."""
        args = self.node.args
        return self._text(args[position]) if len(args) > position else ""

    def written(self, **more: str) -> str:
        """Return the call with more keywords."""
        args = [self._text(one) for one in self.node.args]
        args += [f"{k.arg}={self._text(k.value)}" for k in self.node.keywords if k.arg not in more]
        args += [f"{name}={value}" for name, value in more.items()]
        return f"{ast.unparse(self.node.func)}({', '.join(args)})"


def instead(author: Author, seen: Seen, uses: list[Use]) -> str:
    """Return what to write instead of a statement that makes others wait."""
    call = _call(author, seen.line)
    text = _instead(author, seen, uses, call)
    alias = next(iter(_aliases(author.path)), "") if author.path else ""
    if "helpers." in text and not alias:
        return f"{_IMPORT}\n\n{text}"
    return re.sub(r"\bhelpers\.", f"{alias}.", text) if alias else text


def _instead(author: Author, seen: Seen, uses: list[Use], call: Call | None) -> str:
    table = uses[0].table
    if author.is_file:
        return _IN_FILE.format(table=table)
    if uses[0].how == END and (not author.is_mysql or _changes(seen.sql, table)):
        return _in_pages(seen.sql, table, author)
    if author.is_mysql:
        return _mysql(uses, call)
    seen = replace(seen, sql=_of_block(seen.sql, table))
    indexed = _INDEXED.match(seen.sql)
    if indexed and any(last(use.table) != last(indexed[1]) for use in uses):
        return _IN_PARTS.format(table=indexed[1])
    if uses[0].how == COPIED and not _REFRESHES.match(seen.sql):
        return _beside(seen.sql, table, call)
    return _concurrently(seen.sql, table, call)


def _changes(sql: str, table: str) -> bool:
    """Return whether a statement changes rows of a table, or joins them to those that it does."""
    return says(sql, table) or is_joined(sql, table)


def torn(held: str, work: str) -> str:
    """Return how to split the work of a single statement, a ``DO`` block."""
    return f"# in this revision only what locks {held};\n{_OF_ITS_OWN}\n# what works on {work}"


def apart(author: Author, seen: Seen, long: Seen) -> str:
    """Return how to separate a short lock from the long work that follows it."""
    first, works = _source(author, seen), [use for use in long.uses if use.is_finding]
    then = instead(author, long, works) if works else _source(author, long)
    heads = f"# this revision, which ends here:\n{first}\n{_OF_ITS_OWN}\n"
    begins = f"{_IMPORT}\n\n"
    if then.startswith(begins):
        heads, then = f"{begins}{heads}", then.removeprefix(begins)
    return heads + then.removeprefix(f"{_OF_ITS_OWN}\n")


# The author's code


@cache
def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text_of(path))


def _aliases(path: Path) -> list[str]:
    """Return the names under which a revision imports the guarded verbs."""
    if path.suffix != ".py":
        return []
    return [
        alias.asname or alias.name
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "alembic_helpers"
    ]


def _operations(path: Path) -> list[str]:
    """Return the names under which a revision imports Alembic's operations."""
    return [
        alias.asname or alias.name
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.module == "alembic"
        for alias in node.names
    ]


def _statement(author: Author, line: int) -> ast.stmt | None:
    """Return the smallest statement that a line belongs to."""
    if author.path is None or author.path.suffix != ".py" or not line:
        return None
    spans = [
        (node.end_lineno - node.lineno, node)
        for node in ast.walk(_tree(author.path))
        if isinstance(node, ast.stmt) and node.end_lineno and node.lineno <= line <= node.end_lineno
    ]
    return min(spans, key=lambda one: one[0], default=(0, None))[1]


def _call(author: Author, line: int) -> Call | None:
    """Return the call that a line belongs to."""
    statement = _statement(author, line)
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return None
    assert author.path is not None
    made = Call(statement.value, _text_of(author.path))
    aliases = _aliases(author.path)
    is_batch = not {made.prefix} & {*aliases, *_operations(author.path)}
    return replace(made, is_verb=made.prefix in aliases, is_batch=is_batch)


def _source(author: Author, seen: Seen) -> str:
    """Return the author's statement, or else the one that the server received."""
    statement = _statement(author, seen.line)
    if author.path is None or isinstance(statement, ast.FunctionDef | ast.ClassDef | None):
        return f"op.execute({' '.join(seen.sql.split())[:150]!r})"
    first, last = statement.lineno - 1, statement.end_lineno
    lines = textwrap.dedent("\n".join(_text_of(author.path).splitlines()[first:last])).split("\n")
    return "\n".join(lines if len(lines) <= _LINES else [*lines[:_LINES], "    ..."])


# PostgreSQL

_KEYWORD = {"postgresql_concurrently": "True"}
_TAKES_KEYWORD = {
    "create_index",
    "drop_index",
    "create_unique_constraint",
    "create_check_constraint",
    "create_foreign_key",
}


_ALTERS = re.compile(r"\b(?:ALTER\s+TABLE|CREATE\s+(?:UNIQUE\s+)?INDEX)\b[^;$]*", re.I)


def _of_block(sql: str, table: str) -> str:
    """Return the effect of a ``DO`` block on a table; empty if it does several things."""
    if not re.match(r"DO\b", sql, re.I):
        return sql
    found = [one.strip() for one in _ALTERS.findall(sql) if last(table) in one]
    return found[0] if len(found) == 1 and found[0].count("'") % 2 == 0 else ""


def _concurrently(sql: str, table: str, call: Call | None) -> str:
    """Return how to read the rows while nobody waits."""
    call = None if call and call.is_batch else call
    verb = call.verb if call else ""
    if call and verb == "add_column" and not _ADDS_COLUMN.search(sql):
        return f"{_plain_column(call)}\n{_concurrent_sql(sql, table)}"
    if call and call.is_verb and verb in _TAKES_KEYWORD:
        return call.written(**_KEYWORD)
    if call and call.is_verb and verb == "alter_column" and call.keyword("nullable") == "False":
        return call.written(**_KEYWORD)
    if call and verb == "create_index":
        return _autocommit(call, call.written(**_KEYWORD))
    if call and verb == "create_unique_constraint":
        name, of = call.argument(0), call.argument(1)
        index = f"{call.prefix}.create_index({name}, {of}, {call.argument(2)}, unique=True,"
        using = f"ALTER TABLE {_text(of)} ADD CONSTRAINT {_text(name)} UNIQUE USING INDEX"
        after = f'{call.prefix}.execute("{using} {_text(name)}")'
        return _autocommit(call, f"{index} postgresql_concurrently=True)") + f"\n{after}"
    if call and verb in ("create_check_constraint", "create_foreign_key"):
        later = f"ALTER TABLE {_text(call.argument(1))} VALIDATE CONSTRAINT"
        return (
            f"{call.written(postgresql_not_valid='True')}\n{_OF_ITS_OWN}\n"
            f'{call.prefix}.execute("{later} {_text(call.argument(0))}")'
        )
    if call and verb == "alter_column" and call.keyword("nullable") == "False":
        return _proven_not_null(call, _text(call.argument(0)), _text(call.argument(1)))
    return _concurrent_sql(sql, table)


def _plain_column(call: Call) -> str:
    """Return the author's call that adds a column, without the column's own constraint."""
    node = copy.deepcopy(call.node)
    for one in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
        one.args = [arg for arg in one.args if not _FOREIGN.match(ast.unparse(arg))]
        one.keywords = [k for k in one.keywords if k.arg not in ("unique", "index")]
    return ast.unparse(node)


_FOREIGN = re.compile(r"(?:\w+\.)*ForeignKey\(")
_ADDS_COLUMN = re.compile(r"\bADD\s+COLUMN\b", re.I)
_REFRESHES = re.compile(r"REFRESH\s+MATERIALIZED\s+VIEW\s+(?!CONCURRENTLY\b)", re.I)
_ATTACHES = re.compile(r"\bATTACH\s+PARTITION\b", re.I)
_CHECKED = re.compile(r"(.*\bADD\s+COLUMN\s+(\S+)\s.*?)\s+(CHECK\s*\(.*\))$", re.I)


def _text(argument: str) -> str:
    """Return the value of an argument if it is a string."""
    return argument.strip("'\"")


def _autocommit(call: Call, line: str) -> str:
    return f"with {call.prefix}.get_context().autocommit_block():\n    {line}"


def _proven_not_null(call: Call, table: str, column: str) -> str:
    """Return how plain Alembic forbids NULL after a validated check."""
    name = f"ck_{table}_{column}_not_null"
    do = f'{call.prefix}.execute("ALTER TABLE {table}'
    return (
        f'{do} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID")\n'
        f'{_OF_ITS_OWN}\n{do} VALIDATE CONSTRAINT {name}")\n'
        f'# and one more:\n{call.written()}\n{do} DROP CONSTRAINT {name}")'
    )


_NOT_NULL = re.compile(r"\bALTER\s+(?:COLUMN\s+)?(\S+)\s+SET\s+NOT\s+NULL", re.I)
_CONSTRAINT = re.compile(r"\bADD\s+CONSTRAINT\s+(\S+)\s+(CHECK|FOREIGN|UNIQUE|PRIMARY)", re.I)


def _concurrent_sql(sql: str, table: str) -> str:
    """Return how the author's own SQL does it."""
    text = " ".join(sql.split()).rstrip(";")
    block = "with op.get_context().autocommit_block():\n    "
    if re.match(r"(CREATE (UNIQUE )?|DROP |RE)INDEX\b", text, re.I):
        pattern = r"(CREATE (?:UNIQUE )?INDEX|DROP INDEX|REINDEX \w+)"
        text = re.sub(pattern, r"\1 CONCURRENTLY", text, count=1, flags=re.I)
        return f"{block}op.execute({text!r})"
    if _REFRESHES.match(text):
        text = _REFRESHES.sub("REFRESH MATERIALIZED VIEW CONCURRENTLY ", text)
        return f"# with a unique index on {table}:\nop.execute({text!r})"
    if _ATTACHES.search(text):
        return _ATTACHED.format(table=table)
    if match := _CHECKED.match(text):
        of = _ALTERED.match(text)
        table = of[1] if of else table
        rest = f"ALTER TABLE {table} ADD {match[3]}"
        return f"op.execute({match[1]!r})\n{_concurrent_sql(rest, table)}"
    table, text = _named(table, text)
    if match := _CONSTRAINT.search(text):
        name, kind = match[1], match[2].upper()
        if kind in ("CHECK", "FOREIGN") and text.upper().startswith("ALTER"):
            of = _DOMAIN.match(text)
            later = f"{of[0] if of else f'ALTER TABLE {table}'} VALIDATE CONSTRAINT {name}"
            return f"op.execute({text + ' NOT VALID'!r})\n{_OF_ITS_OWN}\nop.execute({later!r})"
        columns = re.search(r"\(.*\)", text)
        if columns is None:
            return _USING.format(table=table)
        index = f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} {columns[0]}"
        using = f"ALTER TABLE {table} ADD CONSTRAINT {name} {kind}{' KEY' * (kind == 'PRIMARY')}"
        return f"{block}op.execute({index!r})\nop.execute({f'{using} USING INDEX {name}'!r})"
    if match := _NOT_NULL.search(text):
        column, made = match[1], f"ck_{table}_{match[1]}_not_null"
        check = f"ALTER TABLE {table} ADD CONSTRAINT {made} CHECK ({column} IS NOT NULL) NOT VALID"
        return (
            f"op.execute({check!r})\n{_OF_ITS_OWN}\n"
            f"op.execute({f'ALTER TABLE {table} VALIDATE CONSTRAINT {made}'!r})\n# and one more:\n"
            f"op.execute({f'ALTER TABLE {table} ALTER {column} SET NOT NULL'!r})"
        )
    return _WINDOW.format(table=table)


_INDEXED = re.compile(
    r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\b.*?\bON\s+(?:ONLY\s+)?"
    r"((?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))*)",
    re.I | re.S,
)
_IN_PARTS = """\
# on {table} alone, CREATE INDEX ... ON ONLY {table}; then, CONCURRENTLY, the same index on each
# part; then ALTER INDEX ... ATTACH PARTITION, which takes a moment"""
_ATTACHED = """\
# before it, on {table}: a CHECK that says what the partition says, NOT VALID, and, in a revision of
# its own, VALIDATE CONSTRAINT; to attach it then takes a moment"""
_USING = """\
# before it, on {table}: a CHECK that no column of the index is NULL, NOT VALID; in a revision of
# its own, VALIDATE CONSTRAINT, and one more, SET NOT NULL; the constraint then takes a moment"""
_ALTERED = re.compile(r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(\S+)\s", re.I)
_DOMAIN = re.compile(r"ALTER\s+DOMAIN\s+\S+", re.I)
_NAMELESS = re.compile(r"\bADD\s+(CHECK|FOREIGN|UNIQUE|PRIMARY)\b(?:\s+KEY)?\s*\(([^)]*)\)", re.I)
_ENDINGS = {"CHECK": "check", "FOREIGN": "fkey", "UNIQUE": "key", "PRIMARY": "pkey"}


def _named(table: str, text: str) -> tuple[str, str]:
    """Return the altered table, and the statement with a name for its constraint.

    The name is the server's own: ``bills_user_id_fkey``.
    """
    match = _ALTERED.match(text)
    table = match[1] if match else table
    if nameless := _NAMELESS.search(text):
        kind, columns = nameless[1].upper(), re.findall(r"\w+", nameless[2])
        middle = [] if kind in ("PRIMARY", "CHECK") else columns
        name = "_".join([split(table)[1], *middle, _ENDINGS[kind]])
        start = nameless.start() + len("ADD ")
        text = f"{text[:start]}CONSTRAINT {name} {text[start:]}"
    return table, text


_ADDS = re.compile(r"\bADD\s+(?:COLUMN\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(\"[^\"]+\"|\w+)\s+(.+)", re.I)
_DEFAULT = re.compile(r"(?<!BY )\bDEFAULT\s+(.+?)(?:\s+NOT\s+NULL)?$", re.I)
_TYPE = re.compile(
    r"\bALTER\s+(?:COLUMN\s+)?(\"[^\"]+\"|\w+)\s+(?:SET\s+DATA\s+)?TYPE\s+(.+?)"
    r"(?:\s+USING\s+(.+))?$",
    re.I,
)


def _beside(sql: str, table: str, call: Call | None) -> str:
    """Return how to add another column beside the old one, and fill it in pages."""
    text = " ".join(sql.split()).rstrip(";")
    of, schema = _python(table)
    if match := _TYPE.search(text):
        column, type_, using = match[1].strip('"'), match[2], match[3] or match[1]
        author_s = call.keyword("type_") if call else ""
        return _expanded(table, column, author_s, type_, using)
    added = _ADDS.search(text)
    default = _DEFAULT.search(added[2]) if added else None
    if added and default and not text.upper().startswith("DO"):
        column, type_ = added[1].strip('"'), added[2][: default.start()].strip()
        return "\n".join(
            [
                f"helpers.execute({f'ALTER TABLE {table} ADD COLUMN {column} {type_}'!r})",
                f"helpers.execute("
                f"{f'ALTER TABLE {table} ALTER {column} SET DEFAULT {default[1]}'!r})",
                _OF_ITS_OWN,
                f"helpers.backfill({of}, {{{column!r}: sa.text({default[1]!r})}},"
                f" where={f'{column} IS NULL'!r}{schema})",
            ]
        )
    if added and (kind := _SERIAL.match(added[2])):
        return _numbered(table, added[1].strip('"'), kind[1].upper())
    if added:
        column = added[1].strip('"')
        return (
            f"# a column without it, which the application, or a trigger, writes from now on:\n"
            f"helpers.add_column({of}, sa.Column({column!r}, ...){schema})\n{_OF_ITS_OWN}\n"
            f"helpers.backfill({of}, {{{column!r}: ...}}, where={f'{column} IS NULL'!r}{schema})"
        )
    return _WINDOW.format(table=table)


_SERIAL = re.compile(r"((?:BIG|SMALL)?)SERIAL[248]?\b", re.I)


def _numbered(table: str, column: str, size: str) -> str:
    """Return how to add a column that is numbered by a sequence."""
    of, schema = _python(table)
    name = f"{split(table)[1]}_{column}_seq"
    sequence = f"{split(table)[0]}.{name}" if split(table)[0] else name
    type_ = f"{size}INT"
    default = f"nextval('{sequence}')"
    first = [
        f"CREATE SEQUENCE {sequence} AS {type_}",
        f"ALTER TABLE {table} ADD COLUMN {column} {type_}",
        f"ALTER TABLE {table} ALTER {column} SET DEFAULT {default}",
        f"ALTER SEQUENCE {sequence} OWNED BY {table}.{column}",
    ]
    return "\n".join(
        [
            *(f"helpers.execute({one!r})" for one in first),
            _OF_ITS_OWN,
            f"helpers.backfill({of}, {{{column!r}: sa.text({default!r})}},"
            f" where={f'{column} IS NULL'!r}{schema})",
            "# and one more:",
            f"helpers.alter_column({of}, {column!r}, nullable=False,"
            f" postgresql_concurrently=True{schema})",
        ]
    )


def _expanded(table: str, column: str, author_s: str, type_: str, using: str) -> str:
    new = f"{column}_new"
    of, schema = _python(table)
    add = f"helpers.add_column({of}, sa.Column({new!r}, {author_s}){schema})"
    if not author_s:
        add = f"helpers.execute({f'ALTER TABLE {table} ADD COLUMN {new} {type_}'!r})"
    return "\n".join(
        [
            "# another column beside it, which the application writes as well from now on:",
            add,
            _OF_ITS_OWN,
            f"helpers.backfill({of}, {{{new!r}: sa.text({using!r})}},"
            f" where={f'{new} IS NULL AND {column} IS NOT NULL'!r}{schema})",
            _LATER,
            f"helpers.drop_column({of}, {column!r}{schema})",
            f"helpers.alter_column({of}, {new!r}, new_column_name={column!r}{schema})",
        ]
    )


# Rows, on every server

_SET = re.compile(r"UPDATE\s+(?:ONLY\s+)?(\S+)\s+SET\s+", re.I)
_WHERE = re.compile(r"\bWHERE\b", re.I)
_FROM = re.compile(r"\bFROM\b", re.I)
_ONE = re.compile(r"(?:[\w`]+\.)?`?(\w+)`?\s*=\s*(.+)$", re.S)
_COUNTS_ON = re.compile(r"[-+*/%]|\|\|")
_VALUES = re.compile(r"%\(\w+\)s|%s")  # which are not in the text
_MORE = re.compile(r"=|\b(?:FROM|JOIN|RETURNING|ORDER|LIMIT)\b", re.I)


def _in_pages(sql: str, table: str, author: Author) -> str:
    """Return how to change rows page by page."""
    sql = _change_of_block(sql, table)
    verb, _ = target(sql)
    text = _unaliased(" ".join(sql.split()).rstrip("; "))
    table = table if says(sql, table) or verb != "UPDATE" else target(sql)[1]
    head = "# pages of rows, each committed"
    head = f"{_OF_ITS_OWN}\n{head}"
    if verb == "DELETE" and not _VALUES.search(text):
        return f"{head}, until none is left\n{_deleted(text, author)}"
    if verb == "SELECT":
        return f"{head}: lock those of a page, change them, commit"
    of, schema = _python(table)
    if verb == "UPDATE" and (found := _set(_from_join(text), author.is_mysql)):
        values, where = found
        listed = ", ".join(f"{column!r}: sa.text({value!r})" for column, value in values.items())
        return f"{head}\nhelpers.backfill({of}, {{{listed}}}, where={where!r}{schema})"
    done = "# what is not done yet"
    return f"{head}\nhelpers.backfill({of}, {{...}}, where=...{schema})  {done}"


_UPDATES = re.compile(r"\b(?:UPDATE|DELETE\s+FROM)\s[^;$]*", re.I)
_PROGRAM = re.compile(r"\b(?:LOOP|DECLARE|IF|EXECUTE|CASE)\b", re.I)
_ALIASED = re.compile(
    r"(UPDATE\s+(?:ONLY\s+)?)([\w$.]+|[`\"][^`\"]+[`\"])\s+(?:AS\s+)?(?!SET\b|JOIN\b|INNER\b|LEFT\b)"
    r"(\w+)(?=\s+(?:SET|JOIN|INNER)\b)",
    re.I,
)
_JOINS = re.compile(
    r"(UPDATE\s+\S+)\s+(?:INNER\s+)?JOIN\s+(\S+(?:\s+(?:AS\s+)?(?!ON\b)\w+)?)\s+ON\s+(.+?)"
    r"\s+(SET\s+.+?)(?:\s+WHERE\s+(.+))?$",
    re.I,
)


def _change_of_block(sql: str, table: str) -> str:
    """Return the only statement of a ``DO`` block that changes a table's rows, if it is plain."""
    if not re.match(r"DO\b", sql, re.I) or _PROGRAM.search(sql):
        return sql
    found = [one.strip() for one in _UPDATES.findall(sql) if target(one)[1] == last(table)]
    return found[0] if len(found) == 1 and found[0].count("'") % 2 == 0 else sql


def _unaliased(text: str) -> str:
    """Return an UPDATE whose table has no other name."""
    match = _ALIASED.match(text)
    if match is None:
        return text
    rest = _named_fully(text[match.end() :], match[3], match[2])
    return f"{match[1]}{match[2]}{rest}"


def _named_fully(text: str, alias: str, name: str) -> str:
    tokens = tokenize(text)
    after = [*tokens[1:], ""]
    pairs = zip(tokens, after, strict=True)
    return "".join(name if one == alias and then == "." else one for one, then in pairs)


def _from_join(text: str) -> str:
    """Return the UPDATE with a JOIN of MariaDB and MySQL as PostgreSQL writes it."""
    match = _JOINS.match(text)
    of = last(match[1].split()[1]) if match else ""
    own = re.compile(rf"`?{re.escape(of)}`?\.`?\w+`?\s*=")
    parts = split_list(tokenize(match[4][len("SET ") :])) if match else []
    is_own = all(own.match("".join(part).strip()) for part in parts)
    if match is None or not is_own or re.search(r"\bJOIN\b", match[3], re.I):
        return text
    where = f"{match[3]} AND ({match[5]})" if match[5] else match[3]
    return f"{match[1]} {match[4]} FROM {match[2]} WHERE {where}"


def _set(text: str, is_mysql: bool) -> tuple[dict[str, str], str] | None:
    """Return what an UPDATE sets, and a condition that excludes what is done."""
    match = _SET.match(text)
    if match is None or _VALUES.search(text):
        return None
    rest = text[match.end() :]
    flat = outside(without_strings(rest))
    where, source = _WHERE.search(flat), _FROM.search(flat)
    condition = rest[where.end() :].strip() if where else ""
    if source and (where is None or where.start() < source.start()):
        return None  # each row of the other table with each of this
    ends = source or where
    values = _values(rest[: ends.start()] if ends else rest)
    if not values or not source or not where:
        return (values, condition or _unlike(values)) if values else None
    of = f"FROM {rest[source.end() : where.start()].strip()} WHERE {condition}"
    values = {column: f"(SELECT {value} {of})" for column, value in values.items()}
    unlike = "NOT {} <=> {}" if is_mysql else "{} IS DISTINCT FROM {}"
    differs = " OR ".join(unlike.format(column, value) for column, value in values.items())
    return values, f"EXISTS (SELECT 1 {of}) AND ({differs})"


def _values(text: str) -> dict[str, str]:
    """Return the columns that an UPDATE sets, and their values; none if they cannot be moved."""
    parts = split_list(tokenize(text))
    found = [_ONE.match("".join(part).strip()) for part in parts]
    values = {one[1]: one[2].strip() for one in found if one}
    if len(values) < len(parts):
        return {}
    for column, value in values.items():
        flat = without_strings(value)
        if _MORE.search(outside(flat)) or (_COUNTS_ON.search(flat) and column in flat):
            return {}  # done twice, it is another value
    return values


def _unlike(values: dict[str, str]) -> str:
    """Return the condition that a row has not these values yet."""
    return " OR ".join(
        f"{column} IS NOT NULL"
        if value.upper() == "NULL"
        else f"{column} IS NULL OR {column} <> {value}"
        for column, value in values.items()
    )


def _deleted(text: str, author: Author) -> str:
    """Return how to delete rows page by page."""
    some = f"{text} LIMIT 1000"
    if author.is_mysql and not re.match(r"DELETE\s+FROM\s+\S+(?:\s+WHERE\b|$)", text, re.I):
        return "# DELETE FROM ... WHERE ... IN (SELECT ...) LIMIT 1000"
    if not author.is_mysql:
        match = re.match(r"(DELETE\s+FROM\s+(?:ONLY\s+)?(\S+))(.*)", text, re.I)
        if match is None or re.match(r"\s+(?!WHERE\b)\w", match[3], re.I):
            return "# DELETE ... WHERE ctid = ANY (ARRAY(SELECT ctid ... LIMIT 1000))"
        rows = f"SELECT ctid FROM {match[2]}{match[3]} LIMIT 1000"
        some = f"{match[1]} WHERE ctid = ANY (ARRAY({rows}))"
    return (
        "with op.get_context().autocommit_block():\n"
        f"    while op.get_bind().execute(sa.text({some!r})).rowcount:\n        pass"
    )


def _python(table: str) -> tuple[str, str]:
    """Return a table as arguments of a verb: its name, and the schema, if it has one."""
    schema, name = split(table)
    return repr(name), f", schema={schema!r}" if schema else ""


# MariaDB and MySQL


def _mysql(uses: list[Use], call: Call | None) -> str:
    """Return a command that copies the table while others write, or SQL that locks fewer rows."""
    command = uses[0].command
    is_verb = call is not None and call.is_verb and call.verb != "execute"
    if command and not command.startswith("#"):
        there = "the verb" if is_verb else "with a verb of alembic_helpers the revision"
        return f"{command}\n# before the revision is deployed; {there} then says: already there"
    if command:
        return f"{command}\n{_WINDOW.format(table=uses[0].table)}"
    if uses[0].who == EVERYBODY:
        return _WINDOW.format(table=uses[0].table)
    return (
        "# in env.py: what is read is then not locked\n"
        'connection = connection.execution_options(isolation_level="READ COMMITTED")'
    )
