"""No false conflict: every type of SQLAlchemy, times nullable, default and comment.

The types and their parameters are read from the installed SQLAlchemy, so that a new one is in the
grid by itself, or fails here until somebody says what it is.  What plain Alembic cannot make on a
server is left out there, and listed.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import alembic.op
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

import alembic_helpers as helpers
from tests.databases import Database
from tests.helpers.vocabulary import decisions, heard, prepare, revision, run

pytestmark = pytest.mark.long

MODULES = {
    "sqlite": [sa.types, sqlite],
    "postgresql": [sa.types, postgresql],
    "mariadb": [sa.types, mysql],
}
NO_COLUMN = {  # what others are made of
    "Concatenable",
    "Emulated",
    "ExternalType",
    "Indexable",
    "NamedType",
    "NativeForEmulated",
    "NullType",
    "NumericCommon",
    "OperatorClass",
    "SchemaType",
    "TupleType",
    "TypeDecorator",
    "TypeEngine",
    "TypeEngineMixin",
    "UserDefinedType",
    "Variant",
}
REQUIRED: dict[str, tuple[Any, ...]] = {
    "ARRAY": (sa.Integer(),),
    "DOMAIN": ("positive", sa.Integer()),
    "ENUM": ("a", "it's", "c, d", "%"),
    "Enum": ("a", "it's", "c, d", "%"),
    "SET": ("a", "it's"),
}
ALWAYS: dict[str, dict[str, Any]] = {
    "postgresql.DOMAIN": {"create_type": False},
    "postgresql.ENUM": {"name": "status", "create_type": False},
    "mysql.NVARCHAR": {"length": 20},
    "mysql.VARCHAR": {"length": 20},
}
COLLATIONS = {"sqlite": "NOCASE", "postgresql": "C", "mariadb": "utf8mb4_bin"}
VALUES: dict[str, list[dict[str, Any]]] = {
    "as_uuid": [{"as_uuid": False}],
    "ascii": [{"ascii": True}],
    "binary": [{"binary": True}],
    "charset": [{"charset": "latin1"}, {"charset": "latin1", "collation": "latin1_bin"}],
    "create_constraint": [{"create_constraint": True, "name": "ck"}],
    "day_precision": [{"day_precision": 3}],
    "dimensions": [{"dimensions": 2}],
    "display_width": [{"display_width": 4}],
    "fields": [{"fields": "YEAR TO MONTH"}, {"fields": "DAY TO SECOND", "precision": 3}],
    "fsp": [{"fsp": 3}, {"fsp": 6}],
    "length": [{"length": 37}],
    "national": [{"national": True}],
    "native": [{"native": False}],
    "native_enum": [{"native_enum": False}, {"native_enum": False, "length": 50}],
    "native_uuid": [{"native_uuid": False}],
    "precision": [{"precision": 5}],
    "scale": [{"precision": 12, "scale": 3}],
    "second_precision": [{"second_precision": 4}],
    "timezone": [{"timezone": True}],
    "unicode": [{"unicode": True}],
    "unsigned": [{"unsigned": True}],
    "varying": [{"varying": True}, {"varying": True, "length": 5}],
    "zerofill": [{"zerofill": True}],
}
ITEMS = [sa.String(10), sa.Numeric(5, 1), sa.DateTime(timezone=True)]
PYTHON_SIDE = {  # or of a type that has to be made first
    *("args", "kwargs", "kw", "enums", "values", "name", "metadata", "schema", "quote", "impl"),
    *("as_tuple", "asdecimal", "astext_type", "comparator", "decimal_return_scale", "epoch"),
    *("inherit_schema", "none_as_null", "omit_aliases", "pickler", "protocol", "regexp"),
    *("sort_key_function", "storage_format", "text_type", "truncate_microseconds"),
    *("validate_strings", "values_callable", "zero_indexes", "data_type", "constraint_name"),
    *("not_null", "check", "default", "create_type", "retrieve_as_bitwise", "collation_schema"),
}
# the first that the server takes: a type of its own kind needs no line here
DEFAULTS: list[Any] = [
    "7",
    "it's",
    "true",
    "2024-02-29",
    "2024-02-29 09:30:00",
    "09:30:00",
    "{}",
    "empty",
]
DEFAULTS += ["1 day", "127.0.0.1", "10.0.0.0/8", "08:00:2b:01:02:03", "08:00:2b:01:02:03:04:05"]
DEFAULTS += [
    "a",
    "",
    "NULL",
    "100%",
    "-1",
    "1e3",
    "back\\slash",
    "a\nb",
    "$.a",
    "00000000-0000-0000-0000-000000000007",
    "101",
    "1",
    "pg_class",
    "simple",
]
DEFAULTS += ["{1}", "2024", "::1", "10101", "1" * 37, sa.text("b'1'"), sa.text("('{}')")]
REFUSED = {  # what plain Alembic cannot make there, whatever its arguments
    "sqlite": {"ARRAY"},
    "postgresql": {"BINARY", "BLOB", "CITEXT", "CLOB", "DATETIME", "DOUBLE", "HSTORE"}
    | {"NVARCHAR", "VARBINARY"},
    "mariadb": {"ARRAY", "CLOB"},
    "mysql": {"ARRAY", "CLOB", "INET4", "INET6", "UUID"},  # MariaDB's own
}
SHARED = {
    "sqlite": [],
    "postgresql": [
        "CREATE DOMAIN positive AS integer",
        "CREATE TYPE status AS ENUM ('a', 'it''s', 'c, d', '%')",
        *(
            f"DO $$ BEGIN CREATE EXTENSION {name}; EXCEPTION WHEN OTHERS THEN NULL; END $$"
            for name in ("citext", "hstore")  # not with every server
        ),
    ],
    "mariadb": [],
}
TOGETHER = 24  # columns to a table: InnoDB's rows have an end


@dataclass
class Case:
    """One type, as a revision would spell it."""

    name: str
    make: Any
    default: Any = None

    def column(self, name: str, nullable: bool, has_default: bool, comment: bool) -> sa.Column[Any]:
        return sa.Column(
            name,
            self.make(),
            nullable=nullable,
            server_default=self.default if has_default else None,
            comment="it's: 100%" if comment else None,
        )


def classes(server: str) -> dict[str, Any]:
    """Return every type that SQLAlchemy offers for a server."""
    found: dict[str, Any] = {}
    for module in MODULES[server]:
        prefix = "" if module is sa.types else f"{server.replace('mariadb', 'mysql')}."
        for name in getattr(module, "__all__", None) or dir(module):
            thing = getattr(module, name)
            is_type = isinstance(thing, type) and issubclass(thing, sa.types.TypeEngine)
            if is_type and not name.startswith("_") and name not in NO_COLUMN:
                found[prefix + name] = thing
    return found


def parameters(class_: type[Any]) -> set[str]:
    """Return the names of the arguments of a type, with those that it passes on to its bases."""
    found: set[str] = set()
    for base in class_.__mro__:
        if "__init__" in vars(base):
            signature = inspect.signature(vars(base)["__init__"]).parameters.values()
            found |= {parameter.name for parameter in signature}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature):
                break
    return {name for name in found if name != "self" and not name.startswith("_")}


def variations(server: str, class_: type[Any]) -> Iterator[dict[str, Any]]:
    known = parameters(class_)
    yield {}
    if class_ is sa.Enum:
        known = {"length", "native_enum"}
    if "collation" in known:
        length = {"length": 20} if "length" in known else {}
        yield {"collation": COLLATIONS[server]} | length
    for parameter in sorted(known):
        yield from (options for options in VALUES.get(parameter, []) if options.keys() <= known)


numbers = itertools.count(1)


def candidates(server: str) -> Iterator[Case]:
    """Return each type with its variations."""
    for name, class_ in classes(server).items():
        arguments = [REQUIRED.get(class_.__name__, ())]
        arguments += [(item,) for item in ITEMS if class_.__name__ == "ARRAY"]
        for given, options in itertools.product(arguments, variations(server, class_)):
            options = ALWAYS.get(name, {}) | options
            if "create_constraint" in options:
                options["name"] = f"ck_{next(numbers)}"
            said = [*map(repr, given), *(f"{key}={value!r}" for key, value in options.items())]
            yield Case(f"{name}({', '.join(said)})", partial(class_, *given, **options))


@pytest.fixture(scope="module")
def possible() -> Callable[[Database], list[Case]]:
    """Give the cases that plain SQLAlchemy can make on a server."""
    found: dict[str, list[Case]] = {}

    def of(server: Database) -> list[Case]:
        if server.name not in found:
            engine = server.engine.execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                found[server.name] = [
                    with_default(connection, case, number)
                    for number, case in enumerate(candidates(server.kin))
                    if can_make(connection, case)
                ]
        return found[server.name]

    return of


def with_default(connection: sa.Connection, case: Case, number: int) -> Case:
    start = number % len(DEFAULTS)  # SQLite takes them all: not always the same one
    likely = (replace(case, default=d) for d in [*DEFAULTS[start:], *DEFAULTS[:start]])
    return next((one for one in likely if can_make(connection, one)), case)


def can_make(connection: sa.Connection, case: Case) -> bool:
    """Tell whether the server takes a column of the type, and a row with its default."""
    try:
        columns = [
            case.column("new", True, case.default is not None, False),
            sa.Column("id", sa.Integer),
        ]
        table = sa.Table("_possible", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
        connection.execute(sa.schema.CreateTable(table))
    except (sa.exc.SQLAlchemyError, TypeError):  # some cannot even be spelled
        return False
    try:
        run(connection, "INSERT INTO _possible (id) VALUES (1)")
    except sa.exc.DBAPIError:
        return False
    finally:
        run(connection, "DROP TABLE _possible")
    return True


Possible = Callable[[Database], list[Case]]
Combination = tuple[bool, bool, bool]  # nullable, with a default, with a comment
ANY = (True, False)
COMBINATIONS: list[Combination] = list(itertools.product(ANY, ANY, ANY))


@pytest.fixture(autouse=True)
def no_table(server: Database) -> None:
    prepare(server, "DROP TABLE IF EXISTS grid")


class Judge:
    """Runs verbs, and collects those that decide otherwise than they should, by their case."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.judged = 0

    def __call__(
        self, name: str, decision: str, act: Callable[[], Any], part: dict[str, Case] | None = None
    ) -> None:
        self.judged += 1
        bind, error = helpers.get_bind(), None
        savepoint = bind.begin_nested() if bind.dialect.name == "postgresql" else None
        with heard() as lines:
            try:
                act()
            except (helpers.SchemaConflict, sa.exc.SQLAlchemyError) as raised:
                error = raised
        if savepoint is not None:
            savepoint.commit() if error is None else savepoint.rollback()
        said = decisions(lines)
        other = said != {"skip"} if decision == "skip" else decision not in {*said, ""}
        if error or other:
            failure = f"{name}: not {decision}, but {lines} {error or ''}"
            self.failures.append(blamed(failure, part) if part else failure)

    def report(self) -> None:
        found = "\n".join(self.failures)
        assert not self.failures, f"{len(self.failures)} of {self.judged}:\n{found}"


def chunks(found: list[Case]) -> Iterator[dict[str, Case]]:
    for start in range(0, len(found), TOGETHER):
        yield {f"c{i}": case for i, case in enumerate(found[start : start + TOGETHER])}


def distinct(server: Database, possible: Possible) -> list[Case]:
    """Return one case of those that are one and the same to the server."""
    dialect = server.engine.dialect
    found = {(c.make().compile(dialect=dialect), "create_c" in c.name): c for c in possible(server)}
    return list(found.values())


def said(part: dict[str, Case]) -> str:
    return ", ".join(f"{name} {case.name}" for name, case in part.items())


def blamed(failure: str, part: dict[str, Case]) -> str:
    """Return a failure of a whole table with the cases of the columns that it names."""
    names = {name: case for name, case in part.items() if re.search(rf"\b{name}\b", failure)}
    return f"{said(names)}: {failure}"


def create(create_table: Any, part: dict[str, Case], combination: Combination) -> None:
    create_table("grid", *(case.column(name, *combination) for name, case in part.items()))


def add(name: str, case: Case, combination: Combination) -> None:
    helpers.add_column("grid", case.column(name, *combination))


def add_together(part: dict[str, Case]) -> None:
    with helpers.batch_alter_table("grid") as batch:
        for number, (name, case) in enumerate(part.items()):
            batch.add_column(case.column(name, *COMBINATIONS[number % len(COMBINATIONS)]))


def alter(name: str, case: Case, combination: Combination) -> None:
    column, dialect = case.column(name, *combination), helpers.get_bind().dialect
    helpers.alter_column(
        "grid",
        name,
        type_=column.type,
        nullable=column.nullable,
        server_default=case.default if combination[1] else None,
        comment=column.comment,
        postgresql_using=f"{name}::{column.type.compile(dialect=dialect)}",
    )


def test_grid_knows_every_type_and_every_parameter(server: Database, possible: Possible) -> None:
    made = {case.name.partition("(")[0] for case in possible(server)}
    missing = {name.rpartition(".")[2] for name in classes(server.kin).keys() - made}
    assert missing <= REFUSED[server.name], "say in REFUSED, or in REQUIRED, what these are"
    found = set().union(*(parameters(class_) for class_ in classes(server.kin).values()))
    unknown = found - VALUES.keys() - PYTHON_SIDE - {"collation", "item_type"}
    assert not unknown, "say in VALUES, or in PYTHON_SIDE, what these are"
    assert all(case.default is not None for case in possible(server)), "say a DEFAULT for it"


def test_create_table_skips_when_it_is_there_with_every_type(
    server: Database, possible: Possible
) -> None:
    judge = Judge()
    for part, combination in itertools.product(chunks(possible(server)), COMBINATIONS):
        act = partial(create, helpers.create_table, part, combination)
        with revision(server):
            create(alembic.op.create_table, part, combination)
            judge(f"{combination} of plain Alembic", "skip", act, part)
            helpers.drop_table("grid")
            if len(set(combination)) == 1:
                judge(f"{combination}", "apply", act, part)
                judge(f"{combination}", "skip", act, part)
                helpers.drop_table("grid")
    judge.report()


def test_add_column_skips_when_it_is_there_with_every_type(
    server: Database, possible: Possible
) -> None:
    judge = Judge()
    for part, shift in itertools.product(chunks(distinct(server, possible)), (0, 5)):
        with revision(server):
            alembic.op.create_table("grid", sa.Column("id", sa.Integer()))
            for number, (name, case) in enumerate(part.items(), shift):
                combination = COMBINATIONS[number % len(COMBINATIONS)]
                label = f"{case.name} {combination}"
                act = partial(add, name, case, combination)
                judge(label, "apply", act)
                judge(label, "skip", act)
            helpers.drop_table("grid")
    judge.report()


def test_alter_column_skips_when_it_set_every_type(server: Database, possible: Possible) -> None:
    judge = Judge()
    for part in chunks(distinct(server, possible)):
        with revision(server):
            alembic.op.create_table("grid", *(sa.Column(name, sa.String(49)) for name in part))
            for number, (name, case) in enumerate(part.items()):
                for shift, decision in ((0, "apply"), (5, "")):
                    combination = COMBINATIONS[(number + shift) % len(COMBINATIONS)]
                    label = f"{case.name} {combination}"
                    judge(label, decision, partial(alter, name, case, combination))
                    judge(label, "skip", partial(alter, name, case, combination))
                judge(label, "skip", partial(add, name, case, combination))
            helpers.drop_table("grid")
    judge.report()


def test_batch_alter_table_skips_when_it_added_every_type(
    server: Database, possible: Possible
) -> None:
    judge = Judge()
    for part in chunks(distinct(server, possible)):
        act = partial(add_together, part)
        with revision(server):
            alembic.op.create_table("grid", sa.Column("id", sa.Integer()))
            judge("batch", "apply", act, part)
            judge("batch", "skip", act, part)
            helpers.drop_table("grid")
    judge.report()
