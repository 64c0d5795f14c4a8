"""SQLite."""

from __future__ import annotations

from alembic_toolkit.verbs.act import refuse_exclusion
from alembic_toolkit.verbs.kinds.index import compiled_index_text
from alembic_toolkit.verbs.script import skip_validation
from alembic_toolkit.verbs.servers.sqlite import act, batch, catalog, health, script
from alembic_toolkit.verbs.translate import CONSTRAINT_KINDS
from alembic_toolkit.verbs.values import ForeignKeys, Paging, Rebuilding, Server

SERVER = Server(
    name="sqlite",
    foreign_keys=ForeignKeys(stay_in_schema=True, referents_first=False),
    fold=catalog.fold,
    lacks=frozenset({"enum", "comment"}),
    begin="BEGIN IMMEDIATE",
    questions=catalog.QUESTIONS,
    ask=catalog.answer,
    placeholders=catalog.placeholders,
    columns=catalog.columns,
    reflected=catalog.reflected,
    constraints=catalog.constraints,
    conventional=catalog.conventional,
    index=catalog.index,
    index_text=compiled_index_text,
    view_select=catalog.view_select,
    users=health.users,
    is_hidden=catalog.is_hidden,
    kept_type=act.kept_type,
    scratch_schema="temp",
    temporary_schema="temp",
    acts={
        "add_column": act.add_column,
        "alter_column": act.alter_column,
        "create_index": act.create_index,
        "drop_column": act.drop_column,
        "drop_table": act.drop_table,
        "rename_table": act.rename_table,
        "drop_constraint": act.drop_constraint,
        "replace_view": act.replace_view,
        "replace_check": act.replace_check,
        **{verb: act.add_constraint for verb, _ in CONSTRAINT_KINDS.values()},
        "create_exclude_constraint": refuse_exclusion,
    },
    # https://www.sqlite.org/lang_createtable.html#the_primary_key
    paging=Paging(keys_may_be_null=True, prepare=act.leave_transaction),
    batch=Rebuilding(batch.reshape, batch.drop_uncopied, act.index_keeper, batch.one_act),
    if_exists=frozenset(
        {"create_table", "drop_table", "create_index", "drop_index", "create_view", "drop_view"}
    ),
    scripts={
        "create_exclude_constraint": refuse_exclusion,
        "replace_view": script.write_view,
        "validate_constraint": skip_validation,
    },
    write_unless=script.write_unless,
)
