"""What the running revision does later, read from its source."""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from types import CodeType, FrameType, FunctionType
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, ops

from alembic_toolkit.messages import calls_more, revision_frames
from alembic_toolkit.verbs.translate import is_verb, step_of
from alembic_toolkit.verbs.values import Entrance, Step

# Verbs without an operation in Alembic: the kind of object, and the argument that names it
OTHERS = {
    "create_view": ("view", "view_name"),
    "replace_view": ("view", "view_name"),
    "drop_view": ("view", "view_name"),
    "create_enum": ("enum", "enum_name"),
    "drop_enum": ("enum", "enum_name"),
}
WITH_OPERATION = {
    "add_column",
    "alter_column",
    "create_check_constraint",
    "create_exclude_constraint",
    "create_foreign_key",
    "create_index",
    "create_primary_key",
    "create_table",
    "create_unique_constraint",
    "drop_column",
    "drop_constraint",
    "drop_index",
    "drop_table",
    "rename_table",
}
VERBS = {*WITH_OPERATION, *OTHERS}
BATCH = "batch_alter_table"


@dataclass(frozen=True)
class Call:
    """A verb's call in the source of a function."""

    verb: str
    node: ast.Call
    batch: ast.Call | None  # the batch that it is part of
    block: tuple[int, int]  # the first and the last line of the batch
    texts: frozenset[str]  # string literals in it
    is_open: bool  # a name in it is not a plain string
    function: ast.AST  # the function that contains it

    @property
    def start(self) -> tuple[int, int]:
        return self.node.lineno, self.node.col_offset


def later_steps(step: Step) -> list[Step]:
    """Return the revision's later steps on the same objects, as far as the source tells.

    A call counts even inside an ``if``.  Names from loops, assignments and plain functions of the
    author are evaluated, unless they depend on anything outside.
    """
    fold = step.database.case_folded
    names = {fold(name) for name in (step.table, step.name) if name is not None} - {""}
    known: set[str] = set()
    while names != known:  # a table renamed later may have been created earlier
        known = {*names}
        found = related_steps(step, names)
    return found


def related_steps(step: Step, names: set[str]) -> list[Step]:
    """Return the later steps that involve these names, and add their names to them."""
    found: list[Step] = []
    fold = step.database.case_folded
    for operation in step.batch.later:
        found += relate(names, [step_of(step.operations, operation)])
    for frame in revision_frames():
        for call in calls_below(frame, in_batch=step.batch.is_block):
            if call.is_open or names & {*map(fold, call.texts)}:
                for scope in scopes_of(frame, call):
                    found += relate(names, steps_of(step, scope, call))
    return found


MAKING = frozenset({"add_column", "alter_column", "create_table", "rename_table"})


def makes_unknown(step: Step) -> bool:
    """Tell whether the revision later creates an object whose name cannot be evaluated."""
    return has_words(MAKING) and any(
        is_unknown(name, scope)
        for frame in revision_frames()
        for call in calls_below(frame, in_batch=step.batch.is_block)
        if call.is_open and call.verb in MAKING
        for scope in scopes_of(frame, call)
        for name in names_in_call(call.node)
    )


def has_words(words: frozenset[str]) -> bool:
    """Tell whether the running functions may go on with one of these names of verbs or arguments.

    A function that does not need not be parsed, which takes longer than most catalog queries.
    """
    frames = revision_frames()
    return any(calls_more(one) and uses_words(one.f_code, words) for one in frames)


@lru_cache(maxsize=32)
def uses_words(code: CodeType, words: frozenset[str]) -> bool:
    """Tell whether a function uses one of these names, for a keyword argument among others."""
    of_code = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    if not all(map(words.isdisjoint, of_code)):
        return True
    return any(of_constant(constant, words) for constant in code.co_consts)


def of_constant(constant: Any, words: frozenset[str]) -> bool:
    """Tell whether a constant is a function or names of arguments with one of these words.

    SQL that renames counts as the verb that does so.
    """
    if type(constant) is str:
        return not words.isdisjoint(RENAMING) and bool(renaming(constant))
    if type(constant) is tuple:
        return not words.isdisjoint(constant)
    return type(constant) is CodeType and uses_words(constant, words)


RENAMING = {"rename_table", "new_column_name"}


def relate(names: set[str], steps: list[Step]) -> list[Step]:
    """Return the steps that involve objects of these names, and add their names to them."""
    related = []
    for step in steps:
        own = {step.table or str(step.name)}
        if step.verb in ("rename_table", "create_index", "drop_index"):
            own |= {str(step.name)}
        own = {*map(step.database.case_folded, own)}
        if own & names:
            names |= own
            related.append(step)
    return related


def calls_below(frame: FrameType, in_batch: bool) -> Iterator[Call]:
    """Return the calls of verbs after the one that is running in a function."""
    code = frame.f_code
    line, column = frame.f_lineno, 0
    if not in_batch and hasattr(code, "co_positions"):  # Python 3.11
        positions = islice(code.co_positions(), frame.f_lasti // 2, None)
        _, end, _, end_column = next(positions, (None, None, None, None))
        if end and end_column is not None:
            line, column = end, end_column
    elif not in_batch:
        line += 1
    for call in calls_of(code.co_filename, code.co_name, code.co_firstlineno):
        first, last = call.block
        is_own = in_batch and first <= line <= last  # these are in its queue
        if call.start >= (line, column) and not is_own:
            yield call


@lru_cache(maxsize=32)
def calls_of(path: str, name: str, first_line: int) -> list[Call]:
    """Return the calls of verbs in a function, in the order in which they are written."""
    node = function_of(path, name, first_line)
    if node is None:
        return []
    return sorted(calls_within(node, {}, node), key=lambda call: call.start)


@lru_cache(maxsize=32)
def function_of(path: str, name: str, first_line: int) -> ast.AST | None:
    """Return the source of a function, if it can be read."""
    try:
        tree = ast.parse("".join(linecache.getlines(path)))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            lines = {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}
            if first_line in lines:
                return node
    return None


def is_read_below(table: str) -> bool:
    """Tell whether the author's own SQL in later lines reads from a table."""
    reads = re.compile(rf"\b(FROM|JOIN)\s+\W?{re.escape(table)}\b", re.I)
    for frame in revision_frames():
        code = frame.f_code
        node = function_of(code.co_filename, code.co_name, code.co_firstlineno)
        for part in ast.walk(node) if node is not None else ():
            is_below = isinstance(part, ast.Constant) and part.lineno > frame.f_lineno
            if is_below and reads.search(str(getattr(part, "value", ""))):
                return True
    return False


Batches = dict[str, tuple[ast.Call, tuple[int, int]]]


def calls_within(node: ast.AST, batches: Batches, function: ast.AST) -> Iterator[Call]:
    """Find calls of verbs; in a batch, they are methods of the name that its ``with`` binds."""
    if isinstance(node, ast.With):
        block = (node.lineno, node.end_lineno or node.lineno)
        for item in node.items:
            call, name = item.context_expr, item.optional_vars
            if isinstance(call, ast.Call) and called(call) == BATCH and isinstance(name, ast.Name):
                batches = batches | {name.id: (call, block)}
    node = as_verb(node)
    if isinstance(node, ast.Call) and called(node) in VERBS:
        on = getattr(getattr(node.func, "value", None), "id", "")
        batch, block = batches.get(on, (None, (0, 0)))
        given = given_to(node)
        given += batch.args if batch is not None else []
        texts = {
            n.value
            for arg in given
            for n in ast.walk(arg)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        named = [*names_in_call(node), *(batch.args[:1] if batch is not None else [])]
        is_open = any(map(is_open_name, named))
        yield Call(called(node), node, batch, block, frozenset(texts), is_open, function)
    for child in ast.iter_child_nodes(node):
        yield from calls_within(child, batches, function)


_NAME = r"""["`]?(\w+)["`]?"""
_RENAMES = [
    re.compile(rf"ALTER TABLE (?:ONLY )?{_NAME} RENAME (?:TO|AS) {_NAME}", re.I),
    re.compile(rf"RENAME TABLE {_NAME} TO {_NAME}", re.I),
    re.compile(rf"ALTER TABLE (?:ONLY )?{_NAME} RENAME (?:COLUMN )?{_NAME} TO {_NAME}", re.I),
]


def renaming(sql: str) -> tuple[str, ...]:
    """Return the names in a statement that renames a table, or a column of one."""
    if len(sql) >= 300 or "RENAME" not in sql.upper():
        return ()
    text = " ".join(sql.split()).rstrip("; ")
    found = next((match for one in _RENAMES if (match := one.fullmatch(text))), None)
    return found.groups() if found else ()


def as_verb(node: ast.AST) -> ast.AST:
    """Return ``execute`` of SQL that only renames as the verb that renames; others as they are."""
    if not (isinstance(node, ast.Call) and called(node) == "execute" and node.args):
        return node
    sql = node.args[0]
    if isinstance(sql, ast.Call) and called(sql) == "text" and sql.args:
        sql = sql.args[0]
    names = renaming(str(sql.value)) if isinstance(sql, ast.Constant) else ()
    if not names:
        return node
    *old, new = [ast.Constant(name) for name in names]
    verb = ast.Name("alter_column" if len(old) > 1 else "rename_table")
    keyword = "new_column_name" if len(old) > 1 else "new_table_name"
    made = ast.Call(verb, [*old], [ast.keyword(keyword, new)])
    return ast.fix_missing_locations(ast.copy_location(made, node))


def names_in_call(node: ast.Call) -> list[ast.expr]:
    """Return the arguments that identify a call's object; those of ``*`` and ``**`` may."""
    named = (k.value for k in node.keywords if k.arg is None or k.arg.endswith("_name"))
    return [*node.args[:2], *named]


def is_open_name(node: ast.expr) -> bool:
    """Tell whether a name must be evaluated; columns and ``f()`` have theirs in string literals."""
    if isinstance(node, ast.Call):
        return called(node) not in ("Column", "f")
    return not isinstance(node, ast.Constant | ast.List)


def called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


@dataclass
class Scope:
    """The names that are used to evaluate an expression."""

    f_globals: dict[str, Any]
    f_locals: dict[str, Any]


LONGEST_LOOP = 100


def scopes_of(frame: FrameType, call: Call) -> list[Scope]:
    """Return the names visible to a call, for each iteration of the loops around it."""
    scopes = [Scope(frame.f_globals, dict(frame.f_locals))]
    between = range(frame.f_lineno + 1, call.node.lineno + 1)
    for node in bindings_of(call.function):
        if node.lineno not in between:
            continue
        if isinstance(node, ast.Assign):
            for scope in scopes:
                bind(node.targets[0], evaluated(node.value, scope), scope)
        elif call.node.lineno <= (node.end_lineno or 0):
            scopes = [new for scope in scopes for new in turns_of(node, scope)]
    return scopes


@lru_cache(maxsize=32)
def bindings_of(function: ast.AST) -> list[ast.Assign | ast.For]:
    """Return the statements that bind names in a function."""
    return [node for node in ast.walk(function) if isinstance(node, ast.Assign | ast.For)]


def turns_of(loop: ast.For, scope: Scope) -> list[Scope]:
    """Return the names bound by each iteration of a loop."""
    try:
        items = [*(evaluated(loop.iter, scope) or ())][:LONGEST_LOOP]
    except TypeError:
        items = []
    turns = [Scope(scope.f_globals, dict(scope.f_locals)) for _ in items]
    for item, turn in zip(items, turns, strict=True):
        bind(loop.target, item, turn)
    return turns or [scope]


def bind(target: ast.expr, value: Any, scope: Scope) -> None:
    """Bind a name to its value, or several names to theirs."""
    if isinstance(target, ast.Name):
        scope.f_locals[target.id] = value
    elif isinstance(target, ast.Tuple) and isinstance(value, tuple | list):
        for one, part in zip(target.elts, value, strict=False):
            bind(one, part, scope)


class Collected(Entrance):
    """Alembic's operations, collected and not run."""

    def __init__(self, like: Entrance) -> None:
        super().__init__(like.migration_context, like.database)
        self.found: list[ops.MigrateOperation] = []

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        self.found.append(operation)


def steps_of(step: Step, frame: FrameType | Scope, call: Call) -> list[Step]:
    """Return the steps for a call in the source; none if that cannot be determined."""
    if any(is_unknown(name, frame) for name in names_in_call(call.node)):
        return []
    collected = Collected(step.operations)
    try:
        arguments, keywords = arguments_of(call.node, frame)
        if call.verb in OTHERS:
            kind, argument = OTHERS[call.verb]
            name = arguments[0] if arguments else keywords[argument]
            schema = keywords.get("schema")
            return [Step(step.operations, None, call.verb, kind, str(name), schema=schema)]
        if call.batch is not None:
            queue = batch_of(step, frame, call.batch)
            getattr(queue, call.verb)(*arguments, **keywords)
            found = queue.found
        else:
            getattr(collected, call.verb)(*arguments, **keywords)
            found = collected.found
        return [step_of(collected, operation) for operation in found if is_verb(operation)]
    except Exception:  # any error will be reported when it runs
        return []


def arguments_of(node: ast.Call, frame: FrameType | Scope) -> tuple[list[Any], dict[str, Any]]:
    """Evaluate the arguments of a call, including those in ``*`` and ``**``."""
    arguments: list[Any] = []
    for arg in node.args:
        if isinstance(arg, ast.Starred):
            arguments += value_of(arg.value, frame)
        else:
            arguments.append(value_of(arg, frame))
    keywords: dict[str, Any] = {}
    for keyword in node.keywords:
        value = value_of(keyword.value, frame, keyword.arg)
        keywords |= value if keyword.arg is None else {keyword.arg: value}
    return arguments, keywords


def is_unknown(name: ast.expr, frame: FrameType | Scope) -> bool:
    """Tell whether a name cannot be evaluated: it would be mistaken for another one."""
    if isinstance(name, ast.Starred):
        name = name.value
    return value_of(name, frame) is None and not isinstance(name, ast.Constant)


def batch_of(step: Step, frame: FrameType | Scope, call: ast.Call) -> Any:
    """Return the object that collects the operations of a batch."""
    collected = Collected(step.operations)
    table = value_of(call.args[0], frame) if call.args else None
    named = {k.arg: value_of(k.value, frame) for k in call.keywords if k.arg}
    impl = collected.migration_context.impl
    table = table or named["table_name"]

    class Queue(BatchOperations):
        found = collected.found

        def invoke(self, operation: ops.MigrateOperation) -> Any:
            collected.found.append(operation)

    made: Any = Queue
    place = type("Place", (), {"table_name": table, "schema": named.get("schema"), "impl": impl})
    return made(collected.migration_context, place)


PLAIN: tuple[type[ast.AST], ...] = (
    *(ast.Constant, ast.Name, ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.operator),
    *(ast.List, ast.Tuple, ast.Dict, ast.Attribute, ast.Call, ast.keyword, ast.expr_context),
    *(ast.UnaryOp, ast.unaryop, ast.Subscript, ast.Starred, ast.Slice),
)
UNKNOWN = {
    "nullable": True,
    "type_": sa.types.NullType(),
    "server_default": "?",
    "comment": "?",
}


def value_of(node: ast.expr, frame: FrameType | Scope, keyword: str | None = None) -> Any:
    """Evaluate an argument that consists of strings, names and SQLAlchemy objects."""
    value = evaluated(node, frame)
    if value is None and keyword in UNKNOWN and not isinstance(node, ast.Constant):
        return UNKNOWN[keyword]
    if value is None and isinstance(node, ast.Call) and called(node) == "Column" and node.args:
        return sa.Column(evaluated(node.args[0], frame), sa.types.NullType())
    return value


def evaluated(node: ast.expr, frame: FrameType | Scope) -> Any:
    """Evaluate an expression without side effects; None for any other, and for one that fails."""
    for part in ast.walk(node):
        if not isinstance(part, PLAIN) or (
            isinstance(part, ast.Call) and not is_harmless(part, frame)
        ):
            return None
    try:
        code = compile(ast.Expression(node), "<later>", "eval")
        value = eval(code, frame.f_globals, dict(frame.f_locals))
    except Exception:
        return None
    return value._copy() if isinstance(value, sa.Column) else value


def is_harmless(node: ast.Call, frame: FrameType | Scope) -> bool:
    """Tell whether a call only creates an SQLAlchemy object or a string."""
    func: Any = node.func
    names: list[str] = []
    while isinstance(func, ast.Attribute):
        names.insert(0, func.attr)
        func = func.value
    if isinstance(node.func, ast.Attribute) and node.func.attr in PURE_METHODS:
        on = evaluated(node.func.value, frame)
        return type(on) in (str, dict)
    if not isinstance(func, ast.Name):
        return False
    found = frame.f_locals.get(func.id, frame.f_globals.get(func.id))
    if func.id in PURE and found is None and not names:
        return True
    for name in names:
        found = getattr(found, name, None)
    module = str(getattr(found, "__module__", ""))
    is_ours = module.startswith("sqlalchemy.") or getattr(found, "__name__", "") == "f"
    return is_ours or (is_pure(found) and all(map(partial(is_constant, frame), given_to(node))))


def given_to(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def is_constant(frame: FrameType | Scope, node: ast.expr) -> bool:
    return type(evaluated(node, frame)) in CONSTANT


PURE = {"dict", "enumerate", "format", "len", "list", "range", "reversed", "sorted", "str"}
PURE |= {"tuple", "zip"}
PURE_METHODS = {"capitalize", "format", "get", "items", "join", "keys", "lower", "removeprefix"}
PURE_METHODS |= {"removesuffix", "replace", "rsplit", "split", "strip", "title", "upper", "values"}
CONSTANT = (str, int, float, bool, tuple, list, dict, type(None))


def is_pure(function: Any, depth: int = 3) -> bool:
    """Tell whether a function of the author only computes a value, without side effects."""
    if not isinstance(function, FunctionType) or function.__closure__ or not depth:
        return False
    code = function.__code__
    opcodes = {one.opname for one in dis.get_instructions(code)}
    if code.co_flags & NOT_PLAIN or any(op.startswith(WRITES) for op in opcodes):
        return False
    if any(isinstance(one, CodeType) for one in code.co_consts):
        return False
    return all(is_plain_name(name, function.__globals__, depth) for name in code.co_names)


def is_plain_name(name: str, known: dict[str, Any], depth: int) -> bool:
    """Tell whether a name in a function refers to a value, or to another such function."""
    if name not in known:
        return name in PURE | PURE_METHODS
    return type(known[name]) in CONSTANT or is_pure(known[name], depth - 1)


NOT_PLAIN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
WRITES: tuple[str, ...] = (
    "STORE_GLOBAL",
    "STORE_ATTR",
    "STORE_SUBSCR",
    "DELETE_",
    "IMPORT_",
    "JUMP_BACKWARD",
)
WRITES += ("POP_JUMP_BACKWARD", "JUMP_ABSOLUTE")  # loops, which may not end


def key_follows(step: Step) -> bool:
    """Tell whether the running revision later creates a key of the table."""
    verbs = ("create_primary_key", "create_unique_constraint", "create_index")
    return any(later.verb in verbs for later in later_on_table(step))


def later_on_table(step: Step) -> list[Step]:
    """Return the revision's later steps on the same table."""
    fold = step.database.table_folded
    return [later for later in later_steps(step) if fold(later.table) == fold(step.table)]


def altered_below(step: Step, column: str) -> set[str]:
    """Return the properties of a column that the running revision alters in later lines.

    A revision adds a column, fills it and makes it NOT NULL.  On a second run, it finds the column
    as its last step left it; the properties that this step sets are compared there.
    """
    properties: set[str] = set()
    fold = step.database.case_folded
    for later in later_on_table(step):
        operation = later.operation
        if later.verb == "create_primary_key" and fold(column) in map(fold, operation.columns):
            properties |= {"null"}
        if later.verb == "alter_column" and fold(later.name) == fold(column):
            properties |= altered_by(operation)
    return properties


def altered_by(operation: ops.AlterColumnOp) -> set[str]:
    """Return the properties that an ``alter_column`` changes."""
    properties = {"null"} if operation.modify_nullable is not None else set()
    properties |= {"type", "collate"} if operation.modify_type is not None else set()
    properties |= {"comment"} if operation.modify_comment is not False else set()
    if operation.modify_server_default is not False:
        properties |= {"default", "computed", "identity"}
    return properties


def changed_below(step: Step) -> set[str]:
    """Return the parts of a table that the running revision creates, alters or drops later.

    Their names are folded as the server folds them.
    """
    parts: set[str] = set()
    for later in later_on_table(step):
        name = str(later.name)
        if later.kind == "column":
            new = getattr(later.operation, "modify_name", None)
            parts |= {f"column {name}", f"column {new}"}
        elif later.kind == "primary":
            parts |= {f"column {column}" for column in later.operation.columns}
        parts |= {f"{kind} {name}" for kind in ("unique", "check", "foreignkey", "exclude")}
    return {*map(step.database.case_folded, parts)}
