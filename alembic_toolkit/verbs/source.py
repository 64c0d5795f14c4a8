"""What the running revision goes on to do, read from its source."""

from __future__ import annotations

import ast

from alembic_toolkit.verbs.ask import has_table
from alembic_toolkit.verbs.running import calls_in_revision
from alembic_toolkit.verbs.values import Step


def renamed_below(step: Step) -> str | None:
    """Return the name that the running revision gives the table further down, if it is there."""
    for call in calls_in_revision("rename_table", below=True):
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        named = dict(zip(("old_table_name", "new_table_name"), call.args, strict=False)) | given
        nodes = [named.get(name) for name in ("old_table_name", "new_table_name")]
        old, new = (node.value if isinstance(node, ast.Constant) else None for node in nodes)
        if old == step.table and new and not has_table(step.database, old, step.schema):
            return str(new) if has_table(step.database, str(new), step.schema) else None
    return None


PROPERTIES = {"nullable": {"null"}, "type_": {"type"}, "comment": {"comment"}}
PROPERTIES |= {"server_default": {"default", "computed", "identity"}}


def altered_below(step: Step) -> set[str]:
    """Return the properties of a column that the running revision alters, by its source.

    A revision adds a column, fills it and makes it NOT NULL.  Run again, it finds the column as its
    last step left it; what that step sets is compared there.
    """
    properties: set[str] = set()
    for call in calls_in_revision("alter_column"):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        named = [*call.args, *(given[k] for k in ("table_name", "column_name") if k in given)]
        names = [node.value if isinstance(node, ast.Constant) else None for node in named[:2]]
        wanted = [step.table, step.name][-len(names) :]  # a batch names no table
        if names and all(name in (None, want) for name, want in zip(names, wanted, strict=True)):
            properties |= {p for k in given.keys() & PROPERTIES.keys() for p in PROPERTIES[str(k)]}
    return properties


def key_follows(step: Step) -> bool:
    """Tell whether the running revision goes on to make a key of the table, by its source."""
    verbs = ("create_primary_key", "create_unique_constraint", "create_index")
    calls = (call for verb in verbs for call in calls_in_revision(verb, below=True))
    tables = ([n.value for n in call.args[1:2] if isinstance(n, ast.Constant)] for call in calls)
    return any(table in ([], [step.table]) for table in tables)  # a batch names no table
