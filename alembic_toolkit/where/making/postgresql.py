"""The SQL that creates missing objects on PostgreSQL, from its catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator

from alembic_toolkit.schema.snapshot import Thing
from alembic_toolkit.sql.quoting import identifier
from alembic_toolkit.where.making.order import (
    VALUE,
    Wanted,
    forbids_null,
    has_values,
    needs_value,
)

_WORDS = {
    "primary key": "PRIMARY KEY",
    "unique": "UNIQUE",
    "check": "CHECK",
    "foreign key": "FOREIGN KEY",
    "exclusion": "EXCLUDE",
}
_KEYS = ("primary key", "unique", "exclusion", "check")
_COMMENT = re.compile(r"(.*?)(?:(?:^| )COMMENT ('(?:[^']|'')*'))?", re.S)
_COLUMN = re.compile(
    r"(?P<type>.*?)(?P<collate> COLLATE (?:\"[^\"]+\"|\S+))?"
    r"(?P<null>(?: CONSTRAINT (?:\"[^\"]+\"|\S+))? NOT NULL(?: NO INHERIT)?(?: NOT VALID)?)?"
    r"(?P<value> GENERATED ALWAYS AS \(.*\)(?: STORED)?(?= |$)| DEFAULT .*?)?"
    r"(?P<identity> GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY(?: \([^)]*\))?)?"
    r"(?: OWNS (?P<sequence>\"[^\"]+\"|[^\s]+)(?P<options>(?: AS \w+| [A-Z]+ -?\d+| CYCLE)*))?"
    r"(?P<storage> STORAGE \w+)?(?P<statistics> STATISTICS \d+)?(?P<more> WITH \(.*\))?",
    re.S,
)
_TABLE = re.compile(
    r"(?P<unlogged> ?UNLOGGED)?(?P<of> ?PARTITION OF .*?(?:DEFAULT|\)))?(?P<rest>.*?)"
    r"(?P<security> ?ROW LEVEL SECURITY)?(?P<force> ?FORCE ROW LEVEL SECURITY)?",
    re.S,
)


def make(wanted: Wanted) -> list[str]:
    """Return the statements in an executable order."""
    return [*_beforehand(wanted), *_of_tables(wanted), *_afterwards(wanted)]


def _name(*parts: str) -> str:
    plain = [re.fullmatch(r"[a-z_][a-z0-9_$]*", part) is not None for part in parts]
    names = zip(parts, plain, strict=True)
    return ".".join(part if is_plain else identifier('"', part) for part, is_plain in names)


def _of(name: str) -> str:
    """Return the name of an object, which may be qualified by a schema."""
    space, _, own = name.rpartition(".")
    return _name(*filter(None, (space, own)))


def _beforehand(wanted: Wanted) -> Iterator[str]:
    for thing, _ in wanted.lacks("schema"):
        yield f"CREATE SCHEMA {_name(thing.name)}"
    for thing, text in wanted.lacks("extension"):
        yield f"CREATE EXTENSION {_name(thing.name)} {text}".strip()
    for thing, text in wanted.lacks("enum", "composite type", "domain"):
        plain, comment = _split_comment(text)
        enum = "AS ENUM " if thing.kind == "enum" else "AS "
        kind = "DOMAIN" if thing.kind == "domain" else "TYPE"
        yield f"CREATE {kind} {_of(thing.name)} {enum}{plain}"
        yield from _comment(f"{kind} {_of(thing.name)}", comment)
    for thing, text in wanted.differs("enum"):
        yield from _labels(thing, wanted.changed[thing][0], text)
    for thing, text in wanted.lacks("sequence"):
        plain, comment = _split_comment(text)
        yield f"CREATE SEQUENCE {_of(thing.name)} {plain}".strip()
        yield from _comment(f"SEQUENCE {_of(thing.name)}", comment)
    for _, text in wanted.lacks("function", "procedure"):
        yield _split_comment(text)[0].strip()


def _labels(thing: Thing, found: str, text: str) -> Iterator[str]:
    """Add missing enum labels, each after its predecessor."""
    there, labels = (re.findall(r"'(?:[^']|'')*'", one) for one in (found, text))
    for place, label in enumerate(labels):
        if label not in there:
            where = f" AFTER {labels[place - 1]}" if place else f" BEFORE {there[0]}"
            yield f"ALTER TYPE {_of(thing.name)} ADD VALUE {label}{where}"


def _of_tables(wanted: Wanted) -> Iterator[str]:
    for thing, text in wanted.new_tables():
        yield from _new_table(thing.name, text, wanted)
    new = {thing.name for thing, _ in wanted.new_tables()}
    for thing, text in wanted.lacks("column"):
        if thing.owner not in new and not _is_view(thing.owner, wanted):
            yield from _new_column(thing, text)
    for thing, text in wanted.differs("column"):
        yield from _other_column(thing, wanted.changed[thing][0], text)
    for thing, text in wanted.differs("table"):
        if comment := _split_comment(text)[1]:
            yield from _comment(f"TABLE {_of(thing.name)}", comment)
    for thing, _ in [*wanted.differs("foreign key"), *wanted.differs(*_KEYS)]:
        yield f"ALTER TABLE {_of(thing.owner)} DROP CONSTRAINT {_name(thing.name)}"
    for kinds in (_KEYS, ("foreign key",)):
        for thing, text in [*wanted.lacks(*kinds), *wanted.differs(*kinds)]:
            yield from _constraint(thing, text, wanted)
    for thing, _ in wanted.differs("index"):
        yield f"DROP INDEX {_name(*filter(None, (thing.owner.rpartition('.')[0], thing.name)))}"
    for thing, text in [*wanted.lacks("index"), *wanted.differs("index")]:
        yield from _index(thing, text)


def _is_view(owner: str, wanted: Wanted) -> bool:
    return any(Thing(kind, "", owner) in wanted.state for kind in ("view", "materialized view"))


def _split_comment(text: str) -> tuple[str, str]:
    match = _COMMENT.fullmatch(text)
    return (match[1], match[2] or "") if match else (text, "")


def _comment(what: str, comment: str) -> Iterator[str]:
    if comment:
        yield f"COMMENT ON {what} IS {comment}"


def _new_table(table: str, text: str, wanted: Wanted) -> Iterator[str]:
    plain, comment = _split_comment(text)
    read = _TABLE.fullmatch(plain)
    assert read is not None
    columns = wanted.of(table, "column")
    unlogged = "UNLOGGED " if read["unlogged"] else ""
    if read["of"]:
        yield f"CREATE {unlogged}TABLE {_of(table)} {read['of'].strip()}{read['rest']}"
        return
    parts = []
    for thing, definition in columns:
        made = _Column(thing, definition)
        yield from made.before
        parts.append(made.clause)
    listed = ", ".join(parts)
    rest = f" {read['rest'].strip()}" if read["rest"].strip() else ""
    yield f"CREATE {unlogged}TABLE {_of(table)} ({listed}){rest}"
    yield from _comment(f"TABLE {_of(table)}", comment)
    for word in ("security", "force"):
        if read[word]:
            what = "FORCE" if word == "force" else "ENABLE"
            yield f"ALTER TABLE {_of(table)} {what} ROW LEVEL SECURITY"
    for thing, definition in columns:
        yield from _Column(thing, definition).after


class _Column:
    """The statements for one column."""

    def __init__(self, thing: Thing, text: str) -> None:
        plain, comment = _split_comment(text)
        read = _COLUMN.fullmatch(plain)
        assert read is not None
        self.type, self.null = f"{read['type']}{read['collate'] or ''}", read["null"] or ""
        self.value, self.identity = read["value"] or "", read["identity"] or ""
        self.clause = f"{_name(thing.name)} {self.type}{self.null}{self.value}{self.identity}"
        table, column = _of(thing.owner), f"{_of(thing.owner)}.{_name(thing.name)}"
        self.before, self.after = list[str](), list[str]()
        if sequence := read["sequence"]:
            self.before.append(f"CREATE SEQUENCE IF NOT EXISTS {sequence}{read['options'] or ''}")
            self.after.append(f"ALTER SEQUENCE {sequence} OWNED BY {column}")
        alter = f"ALTER TABLE {table} ALTER COLUMN {_name(thing.name)}"
        for word in ("storage", "statistics"):
            if read[word]:
                self.after.append(f"{alter} SET{read[word]}")
        if read["more"]:
            self.after.append(f"{alter} SET{read['more'].removeprefix(' WITH')}")
        self.comment = comment
        self.after += _comment(f"COLUMN {column}", comment)


def _new_column(thing: Thing, text: str) -> Iterator[str]:
    made = _Column(thing, text)
    is_late = needs_value(thing, text) and made.null == _STRICT
    clause = made.clause.replace(_STRICT, "", 1) if is_late else made.clause
    yield from made.before
    yield f"ALTER TABLE {_of(thing.owner)} ADD COLUMN {clause}"
    if is_late:
        yield _fill(thing, VALUE)
        yield f"ALTER TABLE {_of(thing.owner)} ALTER COLUMN {_name(thing.name)} SET{_STRICT}"
    yield from made.after


_STRICT = " NOT NULL"


def _fill(thing: Thing, value: str) -> str:
    name = _name(thing.name)
    return f"UPDATE {_of(thing.owner)} SET {name} = {value} WHERE {name} IS NULL"


def _other_column(thing: Thing, found: str, text: str) -> Iterator[str]:
    was, made = _Column(thing, found), _Column(thing, text)
    name = _name(thing.name)
    alter = f"ALTER TABLE {_of(thing.owner)} ALTER COLUMN {name}"
    if was.value != made.value and was.value.startswith(" DEFAULT"):
        yield f"{alter} DROP DEFAULT"
    if was.type != made.type:
        yield f"{alter} TYPE {made.type} USING {name}::{made.type.partition(' COLLATE')[0]}"
    yield from made.before
    if was.value != made.value and made.value.startswith(" DEFAULT"):
        yield f"{alter} SET{made.value}"
    if forbids_null(thing, text, found) and not made.identity:
        yield _fill(thing, "DEFAULT" if has_values(text) else VALUE)
    if was.null != made.null:
        yield f"{alter} {'SET' if made.null else 'DROP'} NOT NULL"
    if was.identity != made.identity:
        if was.identity:
            yield f"{alter} DROP IDENTITY"
        if made.identity:
            yield f"{alter} ADD{made.identity}"
    yield from (one for one in made.after if one not in was.after)
    if was.comment and not made.comment:
        yield f"COMMENT ON COLUMN {_of(thing.owner)}.{name} IS NULL"


_MARKS = re.compile(r"(?P<cluster> CLUSTER)?(?P<replica> REPLICA IDENTITY)?$")


def _constraint(thing: Thing, text: str, wanted: Wanted) -> Iterator[str]:
    plain, comment = _split_comment(text)
    plain = _MARKS.sub("", plain, count=1)
    kind = "TABLE" if _is_table(thing.owner, wanted) else "DOMAIN"
    what = f"{_WORDS[thing.kind]} {plain}"
    yield f"ALTER {kind} {_of(thing.owner)} ADD CONSTRAINT {_name(thing.name)} {what}"
    on = f"CONSTRAINT {_name(thing.name)} ON {'DOMAIN ' * (kind == 'DOMAIN')}{_of(thing.owner)}"
    yield from _comment(on, comment)


def _is_table(owner: str, wanted: Wanted) -> bool:
    return Thing("domain", "", owner) not in wanted.state


def _index(thing: Thing, text: str) -> Iterator[str]:
    plain, comment = _split_comment(text)
    plain = _MARKS.sub("", plain, count=1)
    unique = "UNIQUE " if plain.startswith("UNIQUE ") else ""
    plain = plain.removeprefix("UNIQUE ")
    using = "" if plain.startswith("(") else "USING "
    yield f"CREATE {unique}INDEX {_name(thing.name)} ON {_of(thing.owner)} {using}{plain}"
    space = thing.owner.rpartition(".")[0]
    yield from _comment(f"INDEX {_name(*filter(None, (space, thing.name)))}", comment)


def _afterwards(wanted: Wanted) -> Iterator[str]:
    for thing, _ in [*wanted.differs("view", "materialized view")][::-1]:
        yield f"DROP {thing.kind.upper()} {_of(thing.name)}"
    for thing, text in _views(wanted):
        plain, comment = _split_comment(text)
        yield f"CREATE {thing.kind.upper()} {_of(thing.name)} {' '.join(plain.split())}"
        yield from _comment(f"{thing.kind.upper()} {_of(thing.name)}", comment)
    for _, text in wanted.differs("function", "procedure"):
        yield _split_comment(text)[0].strip()
    for kind in ("trigger", "policy"):
        for thing, _ in wanted.differs(kind):
            yield f"DROP {kind.upper()} {_name(thing.name)} ON {_of(thing.owner)}"
    for thing, text in [*wanted.lacks("trigger"), *wanted.differs("trigger")]:
        plain = _split_comment(text)[0]
        constraint = "CONSTRAINT " if plain.startswith("CONSTRAINT ") else ""
        plain = plain.removeprefix("CONSTRAINT ")
        yield f"CREATE {constraint}TRIGGER {_name(thing.name)} {plain}"
    for thing, text in [*wanted.lacks("policy"), *wanted.differs("policy")]:
        plain = _split_comment(text)[0]
        plain = plain.replace("RESTRICTIVE ", "AS RESTRICTIVE ", 1)
        yield f"CREATE POLICY {_name(thing.name)} ON {_of(thing.owner)} {plain}"
    for _, text in wanted.lacks("rule"):
        yield text.rstrip("; ")


def _views(wanted: Wanted) -> list[tuple[Thing, str]]:
    kinds = ("view", "materialized view")
    return [*wanted.lacks(*kinds), *wanted.differs(*kinds)]
