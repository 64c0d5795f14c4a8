"""SQLite."""

from __future__ import annotations

from alembic_toolkit.verbs.act import refuse_exclusion
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.script import skip_validation
from alembic_toolkit.verbs.servers.sqlite.act import (
    add_column,
    add_constraint,
    alter_column,
    drop_column,
    drop_constraint,
    drop_table,
    index_keeper,
    leave_transaction,
    rename_table,
    replace_view,
)
from alembic_toolkit.verbs.servers.sqlite.batch import drop_uncopied, reshape
from alembic_toolkit.verbs.servers.sqlite.catalog import (
    QUESTIONS,
    answer,
    columns,
    constraints,
    conventional,
    index,
    is_hidden,
    placeholders,
    view_select,
)
from alembic_toolkit.verbs.servers.sqlite.script import write_unless, write_view
from alembic_toolkit.verbs.translate import CONSTRAINT_KINDS
from alembic_toolkit.verbs.values import ForeignKeys, Paging, Rebuilding, Server

SERVER = Server(
    name="sqlite",
    foreign_keys=ForeignKeys(stay_in_schema=True, referents_first=False),
    lacks=frozenset({"enum", "comment"}),
    replaces_key=True,
    begin="BEGIN IMMEDIATE",
    questions=QUESTIONS,
    ask=answer,
    placeholders=placeholders,
    columns=columns,
    constraints=constraints,
    conventional=conventional,
    index=index,
    index_text=compiled_index_text,
    view_select=view_select,
    is_hidden=is_hidden,
    scratch_schema="temp",
    acts={
        "add_column": add_column,
        "alter_column": alter_column,
        "drop_column": drop_column,
        "drop_table": drop_table,
        "rename_table": rename_table,
        "drop_constraint": drop_constraint,
        "replace_view": replace_view,
        **{verb: add_constraint for verb, _ in CONSTRAINT_KINDS.values()},
        "create_exclude_constraint": refuse_exclusion,
    },
    # https://www.sqlite.org/lang_createtable.html#the_primary_key
    paging=Paging(keys_may_be_null=True, prepare=leave_transaction),
    batch=Rebuilding(
        reshape=reshape,
        drop_uncopied=drop_uncopied,
        index_keeper=index_keeper,
    ),
    if_exists=frozenset(
        {"create_table", "drop_table", "create_index", "drop_index", "create_view", "drop_view"}
    ),
    scripts={
        "create_exclude_constraint": refuse_exclusion,
        "replace_view": write_view,
        "validate_constraint": skip_validation,
    },
    write_unless=write_unless,
)
