"""Check a verb's arguments: known keywords, and lists where lists belong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache, partial, wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops
from alembic.util import CommandError
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from alembic_toolkit.sql.normal import words
from alembic_toolkit.verbs.errors import stop
from alembic_toolkit.verbs.translate import CONSTRAINT_KINDS, SIMPLE

P = ParamSpec("P")
R = TypeVar("R")

# What an operation creates (its arguments are valid), and the further keywords it accepts.
CONCURRENTLY = "postgresql_concurrently"
MAKES: dict[Any, tuple[Any, str]] = {
    ops.CreateTableOp: (sa.Table, ""),
    ops.DropTableOp: (sa.Table, ""),
    ops.AddColumnOp: (None, f"insert_before insert_after {CONCURRENTLY}"),
    ops.DropColumnOp: (None, "mssql_drop_check mssql_drop_default mssql_drop_foreign_key"),
    ops.AlterColumnOp: (
        None,
        "autoincrement existing_autoincrement insert_before insert_after postgresql_using"
        f" mssql_drop_check mssql_drop_default {CONCURRENTLY}",
    ),
    ops.CreateIndexOp: (sa.Index, ""),
    ops.DropIndexOp: (sa.Index, ""),
    ops.CreateUniqueConstraintOp: (sa.UniqueConstraint, CONCURRENTLY),
    ops.CreateCheckConstraintOp: (sa.CheckConstraint, CONCURRENTLY),
    ops.CreateForeignKeyOp: (
        sa.ForeignKeyConstraint,
        f"source_schema referent_schema {CONCURRENTLY}",
    ),
    ops.CreatePrimaryKeyOp: (sa.PrimaryKeyConstraint, ""),
    CreateExcludeConstraintOp: (ExcludeConstraint, "deferrable initially ops using where"),
}
NAMED: dict[Any, frozenset[str]] = {  # parameters of the verb itself, for "did you mean"
    ops.AlterColumnOp: words(
        "nullable comment server_default new_column_name type_ existing_type existing_nullable"
        " existing_server_default existing_comment schema"
    ),
    ops.CreateIndexOp: words("schema unique if_not_exists"),
    ops.DropIndexOp: words("table_name schema if_exists"),
    ops.DropColumnOp: words("schema if_exists"),
}
OTHER_VERBS = {
    ops.CreateTableOp: "create_table",
    ops.AddColumnOp: "add_column",
    ops.CreateIndexOp: "create_index",
    ops.DropConstraintOp: "drop_constraint",
}
DIALECTS = words("postgresql mysql mariadb sqlite mssql oracle")
# https://docs.sqlalchemy.org/en/20/dialects/index.html#external-dialects: a history can name one
# that is not installed here
ELSEWHERE = words(
    "access athena awsathena bigquery clickhouse cockroachdb crate databricks db2 drill druid"
    " duckdb exa firebird hana hive ibm impala informix kinetica monetdb redshift risingwave"
    " snowflake spanner starrocks sybase teradata teradatasql tidb trino vertica ydb yugabytedb"
)


def require_sense(operation: Any) -> None:
    """Refuse an unknown keyword, a string in place of a list, and a call that requests nothing."""
    if type(operation) not in MAKES:
        return
    require_kinds(operation)
    kind: Any = type(operation)
    lists = {name: vars(operation).get(name) for name in ("columns", "local_cols", "remote_cols")}
    for name, value in keywords_of(operation).items():
        if not is_known(kind, name):
            refuse_keyword(call_of(operation), known(kind), name, value)
        if name.endswith("_include"):
            lists[name] = value
    for name, value in lists.items():
        if value is not None:
            require_list(partial(call_of, operation), name, value)
    if isinstance(operation, ops.AlterColumnOp):
        require_change(operation)


def require_kinds(operation: Any) -> None:
    """Refuse a string in place of a column or a type."""
    if isinstance(operation, ops.AddColumnOp) and not isinstance(operation.column, sa.Column):
        given: Any = operation.column
        refuse_kind("add_column", operation, "column", given, f"sa.Column({given!r}, ...)")
    for name in ("type_", "existing_type"):
        given = getattr(operation, name.replace("type_", "modify_type"), None)
        if isinstance(given, str):
            refuse_kind("alter_column", operation, name, given, f"sa.{given.capitalize()}()")


def refuse_kind(verb: str, operation: Any, name: str, given: Any, code: str) -> NoReturn:
    call = f"{verb}({operation.table_name!r}, ...)"
    stop(
        CommandError,
        f"{call}: {name} is {given!r}.  Did you mean {code}?",
        ("nothing was looked at", f"{name}={given!r}"),
        "Stopped, because that is not an SQLAlchemy object.",
        f"helpers.{call[:-1]}, {name}={code})  # in place of this line",
    )


def refuse_definition(operation: Any, error: sa.exc.SQLAlchemyError) -> None:
    """Raise an error with four parts in place of one of SQLAlchemy's about a definition.

    For example a name that is too long, a column without a type, a key over a missing column.
    """
    if isinstance(error, sa.exc.InvalidRequestError) and type(error) not in UNWRITABLE:
        return  # for example about a transaction
    call = call_of(operation)
    text = " ".join(str(error).partition("(Background on")[0].split())
    stop(
        CommandError,
        f"{call}: there is no SQL for it.",
        ("nothing was changed by this line", text),
        "Stopped, because SQLAlchemy cannot write the statement.",
        f"helpers.{call[:-1]}, ...)  # corrected, in place of this line",
    )


UNWRITABLE = (
    sa.exc.ArgumentError,
    sa.exc.CompileError,
    sa.exc.IdentifierError,
    sa.exc.InvalidRequestError,
    sa.exc.NoReferencedColumnError,
    sa.exc.NoReferencedTableError,
)


def keywords_of(operation: Any) -> dict[str, Any]:
    given = operation.table_kw if isinstance(operation, ops.DropTableOp) else operation.kw
    return dict(given or {})


def call_of(operation: Any) -> str:
    """Return the call of a verb, abbreviated to what identifies its object."""
    kind = type(operation)
    verb = OTHER_VERBS.get(kind) or SIMPLE.get(kind, CONSTRAINT_KINDS.get(kind))[0]  # type: ignore[index]
    names = [
        getattr(operation, name, None)
        for name in ("index_name", "constraint_name", "source_table", "table_name", "column_name")
    ]
    if isinstance(operation, ops.AddColumnOp):
        names.append(operation.column.name)
    return f"{verb}({', '.join(repr(str(name)) for name in names if name is not None)})"


@cache
def known(kind: Any) -> frozenset[str]:
    """Return the keywords that an operation accepts, for all of SQLAlchemy's dialects."""
    made, more = MAKES[kind]
    names = {*more.split(), *NAMED.get(kind, ())}
    if made is None:
        return frozenset(names)
    names |= {n for cls in made.__mro__ for n in plain_names(cls)}
    return frozenset(names | {f"{d}_{name}" for d in DIALECTS for name in dialect_names(made, d)})


def plain_names(cls: Any) -> set[str]:
    """Return the arguments that a class declares by name."""
    if "__init__" not in vars(cls) or not issubclass(cls, sa.schema.SchemaItem):
        return set()
    return set(inspect.signature(cls.__init__).parameters) - {"self", "kw", "dialect_kw"}


def dialect_names(made: Any, dialect: str) -> set[str]:
    arguments = dict(registry.load(dialect).construct_arguments or [])
    return {name for cls in made.__mro__ for name in arguments.get(cls, {})}


def is_known(kind: Any, name: str) -> bool:
    """Tell whether a keyword has a meaning, here or on another server."""
    if name in known(kind) or name.startswith("_"):
        return True
    dialect, _, rest = name.partition("_")
    if not rest or get_close_matches(name, known(kind), 1, 0.85):
        return False
    if dialect in DIALECTS:
        return f"{dialect}_*" in known(kind)
    return dialect in ELSEWHERE or is_installed(dialect)


def is_installed(dialect: str) -> bool:
    try:
        registry.load(dialect)
    except sa.exc.NoSuchModuleError:
        return False
    return True


def refuse_keyword(call: str, names: Iterable[str], name: str, value: Any) -> NoReturn:
    """Refuse a keyword that is not one of these names."""
    close = get_close_matches(name, names, 1, 0.6)
    meant = f" Did you mean {close[0]}?" if close else ""
    code = call[:-1] if call.endswith("()") else f"{call[:-1]}, "
    way = f"helpers.{code}{close[0]}={value!r})" if close else f"# leave out {name}=..."
    stop(
        CommandError,
        f"{call}: there is no keyword {name}.{meant}",
        ("nothing was looked at", f"{name}={value!r}"),
        "Stopped, because the keyword would mean nothing.",
        way if not close else f"{way}  # with the other arguments of the call",
    )


def in_words(verb: Callable[P, R]) -> Callable[P, R]:
    """Wrap a verb so that a call with wrong arguments raises a readable error."""

    @wraps(verb)
    def call(*given: P.args, **named: P.kwargs) -> R:
        try:
            return verb(*given, **named)
        except TypeError:
            refuse_call(verb, given, named)
            raise

    return call


def refuse_call(
    function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Refuse a call with an unknown keyword, or without a required argument.

    This is checked only after the call has failed, because it takes longer than the call itself.
    """
    signature, verb = inspect.signature(function), function.__name__
    try:
        signature.bind(*given, **named)
        return
    except TypeError as raised:
        error = raised
    names = [name for name in signature.parameters if name != "self"]
    call = f"{verb}({', '.join(repr(one) for one in given if isinstance(one, str))})"
    for name, value in named.items():
        if name not in names:
            refuse_keyword(call, names, name, value)
    stop(
        CommandError,
        f"{call}: {error}.",
        ("nothing was looked at", f"{verb}({', '.join(names)})"),
        "Stopped, because the verb cannot be called like this.",
        f"help(helpers.{verb})  # says what it takes",
    )


def require_list(call: str | Callable[[], str], name: str, given: Any) -> None:
    """Refuse a string in place of a list of strings: it would be read letter by letter."""
    if not isinstance(given, str | sa.ClauseElement):
        return
    call = call if isinstance(call, str) else call()
    code = f"[{given!r}]" if isinstance(given, str) else f"[sa.text({str(given)!r})]"
    stop(
        CommandError,
        f"{call}: {name} is one text, and must be a list.  Did you mean {code}?",
        ("nothing was looked at", f"{name}={str(given)!r}"),
        "Stopped, because a text is a list of its letters.",
        f"helpers.{call[:-1]}, ..., {name}={code})  # in place of this line",
    )


def require_change(operation: ops.AlterColumnOp) -> None:
    """Refuse an ``alter_column`` that requests no change."""
    given = operation.modify_name, operation.kw.get("autoincrement")
    if operation.has_changes() or any(part is not None for part in given):
        return
    call = call_of(operation)
    said: Iterable[tuple[str, Any]] = {
        "type_": operation.existing_type,
        "nullable": operation.existing_nullable,
        "server_default": operation.existing_server_default or None,
        "comment": operation.existing_comment,
    }.items()
    meant = [name for name, value in said if value is not None]
    hint = f" Did you mean {' and '.join(f'{n}=' for n in meant)}?" if meant else ""
    stop(
        CommandError,
        f"{call}: it asks for nothing.{hint}",
        ("nothing was looked at", "no change: existing_* only describes the existing column"),
        "Stopped, because the line would do nothing.",
        f"helpers.{call[:-1]}, {meant[0] if meant else 'type_'}=...)  # or remove the line",
    )
