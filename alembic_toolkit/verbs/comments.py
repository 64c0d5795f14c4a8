"""Comments: tables have verbs for them, columns get them with their definition."""

from __future__ import annotations

from alembic.operations import ops

from alembic_toolkit.sql.quoting import comment_clause, qualified
from alembic_toolkit.verbs.act import act
from alembic_toolkit.verbs.ask import ask, ask_all
from alembic_toolkit.verbs.require import require_tables
from alembic_toolkit.verbs.values import Definition, Step
from alembic_toolkit.verbs.words import log_line, log_skip


def comment_on_table(step: Step) -> None:
    """Set or remove the comment of the table."""
    wanted = getattr(step.operation, "comment", None)
    if not step.database.dialect.supports_comments:
        return log_skip(step, "this server has no comments")
    table = step.question("table")
    has_table, found = ask_all(step.database, [table, step.question("table comment")])
    if wanted is None and has_table is None:
        return log_skip(step, f"table {step.table} is not there")
    require_tables(step, [table], [has_table])
    if (found or "") == step.server.kept_comment(wanted or ""):
        return log_skip(step, "already as wanted")
    act(step, f"was {found!r}" if found else "")


def lacking_comments(
    step: Step, found: Definition, wanted: Definition, differing: list[str]
) -> dict[str, str]:
    """Return the differences that are only missing comments, and the column that lacks one.

    If a comment is a separate statement, a run that was killed before it left none.
    """
    dialect = step.database.dialect
    if not dialect.supports_comments or dialect.inline_comments:
        return {}
    if step.kind == "column":
        is_lacking = "comment" in differing and not found.get("comment")
        return {"comment": str(step.name)} if is_lacking else {}
    columns = step.wanted.columns if step.kind == "table" else ()
    commented = {f"column {c.name}": c for c in columns if c.comment}
    return {
        key: str(commented[key].name)
        for key in differing
        if key in commented
        and wanted[key] == f"{found.get(key)} {comment_clause(commented[key].comment)}"
    }


def complete_comments(step: Step, columns: list[str]) -> None:
    """Write the missing comments of columns, and of a table that was created with one."""
    if step.kind not in ("table", "column"):
        return
    impl, table = step.operations.impl, step.wanted
    for name in columns:
        column = step.wanted if step.kind == "column" else table.columns[name]
        impl.create_column_comment(column)
        log_line(f"commented column {qualified(step.table, step.schema)}.{name}: it had no comment")
    dialect = step.database.dialect
    if step.kind != "table" or not table.comment or dialect.inline_comments:
        return
    if dialect.supports_comments and not ask(
        step.database, "table comment", step.table, step.table, step.schema
    ):
        step.operations.invoke(
            ops.CreateTableCommentOp(step.table, table.comment, schema=step.schema)
        )
