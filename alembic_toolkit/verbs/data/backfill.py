"""``backfill``: update rows page by page, each page committed by itself."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.sql.elements import Grouping

from alembic_toolkit.database.errors import is_lock_error, is_outdated
from alembic_toolkit.messages import printable
from alembic_toolkit.progress import is_terminal
from alembic_toolkit.verbs.ask import inspected_columns, inspected_key, type_text
from alembic_toolkit.verbs.data.insert import as_literal
from alembic_toolkit.verbs.errors import MissingParent, UnsafeOperation, stop
from alembic_toolkit.verbs.passed import PASSED, is_passed
from alembic_toolkit.verbs.recorded import masked, recorded
from alembic_toolkit.verbs.refused import refusals
from alembic_toolkit.verbs.require import require_table
from alembic_toolkit.verbs.script import compiled
from alembic_toolkit.verbs.texts import require_values
from alembic_toolkit.verbs.transaction import outside_transaction
from alembic_toolkit.verbs.values import Paging, Step
from alembic_toolkit.verbs.words import log_line, log_skip, meant, subject

T = TypeVar("T")

PAGE_SECONDS = 0.1  # at most for each page, while its rows are locked
FIRST_PAGE = 1_000  # rows at most, until their speed is known
SHOWN_EVERY = 5.0  # seconds between two log lines
WAITS = (0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds before a page is retried


@dataclass
class Progress:
    """The progress of a backfill."""

    table: str
    total: int = 0
    rows: int = 0
    pages: int = 0
    begun: float = field(default_factory=lambda: time.monotonic())
    shown: float = field(default_factory=lambda: time.monotonic())

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self.begun, 0.001)
        left = round(max(0, self.total - self.rows) * seconds / max(self.rows, 1))
        pace = f"{self.rows / seconds:.0f} rows/s, {left // 60}:{left % 60:02} left"
        return f"{self.rows} of {self.total} rows in {self.pages} pages, {pace}"


@dataclass
class Pages:
    """The update of a backfill, and the primary key that divides the table into pages."""

    step: Step
    table: sa.TableClause
    values: Mapping[str, Any]
    where: sa.ColumnElement[bool]
    keys: list[sa.ColumnClause[Any]]
    may_be_null: list[sa.ColumnClause[Any]]  # among the keys
    as_text: dict[str, Any]  # keys that the driver cannot always read, with their types
    progress: Progress

    def update(self, *more: Any) -> int:
        """Update the remaining rows that also fulfil further conditions; return their number."""
        update = sa.update(self.table).values(self.values).where(self.where, *more)
        return self.step.database.connection.execute(update).rowcount

    def look(self, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).select_from(self.table)

    def look_for_key(self) -> sa.Select[Any]:
        read = [sa.cast(k, sa.Text()) if k.name in self.as_text else k for k in self.keys]
        return self.look(*read).order_by(*self.keys).limit(1)


def run_backfill(
    step: Step, values: Mapping[str, Any], *, where: Any, batch_size: int, pause: float
) -> None:
    """Update the rows that ``where`` selects, page by page."""
    if where is None:
        refuse_pages(step, "without where each run would do all rows again", "no where")
    if not values:
        refuse_pages(step, "no values are given", "no values")
    require_values(step.call, where, *(v for v in values.values() if not isinstance(v, str)))
    if step.offline:
        return write_backfill(step, values, where)
    text = f"backfill({step.table!r}, {sorted(values)}, where={where!s})"
    fill = partial(fill_rows, step, values, where, batch_size, pause)
    shown = f"backfill({step.table!r}, {sorted(values)}, where={masked(str(where))})"
    recorded(step.database.connection, text, fill, shown=shown)


def fill_rows(
    step: Step, values: Mapping[str, Any], where: Any, batch_size: int, pause: float
) -> None:
    """Check, then update page by page."""
    step.wanted = f"{where} {' '.join(map(str, values.values()))}"
    if is_passed(step):
        return log_skip(step, PASSED)
    require_table(step)
    pages = pages_of(step, values, in_group(where))
    if first_key(pages, None) is None:
        return log_skip(step, "no row is to be done")
    with outside_transaction(step, "go page by page"):
        count_rows(pages)  # the previous transaction holds no lock meanwhile
        try:
            with refusals(step):
                update_pages(pages, batch_size, pause)
        finally:
            draw_line("")
    done, count = pages.progress.rows, pages.progress.pages
    log_line(f"filled {done} rows of {subject(step)} in {count} pages")


def write_backfill(step: Step, values: Mapping[str, Any], where: Any) -> None:
    """Write everything as one plain UPDATE."""
    target = sa.table(step.table, *map(sa.column, values), schema=step.schema)
    given = {
        name: as_literal(step.database, sa.column(name), value) for name, value in values.items()
    }
    update = sa.update(target).values(given).where(in_group(where))
    step.write(compiled(step.database, update, step.call))


def in_group(where: Any) -> sa.ColumnElement[bool]:
    """Return a condition in parentheses."""
    end = "\n" if "--" in str(where) or "#" in str(where) else ""  # ends a comment
    text: Any = sa.text(f"{where}{end}") if isinstance(where, str) else where
    grouped: Any = Grouping  # SQLAlchemy has no types for it
    return cast(sa.ColumnElement[bool], grouped(text))


def pages_of(step: Step, values: Mapping[str, Any], where: Any) -> Pages:
    """Inspect the table, and refuse, before any change, if its key does not allow paging."""
    names = inspected_key(step.database, step.table, step.schema)
    if not names:
        why = "without a primary key there are no pages"
        refuse_pages(step, why, f"no primary key on {step.table}")
    given = {step.database.case_folded(name) for name in values}
    if changed := sorted(name for name in names if step.database.case_folded(name) in given):
        refuse_pages(step, "it finds its pages by the key that it would change", ", ".join(changed))
    there = inspected_columns(step.database, step.table, step.schema)
    columns = {c["name"]: sa.column(c["name"], c["type"]) for c in there}
    typed = {name: type_text(columns[name].type, step.database.dialect) for name in names}
    paging = step.server.paging
    if unpaged := [f"{n} {t}" for n, t in typed.items() if paging.unpaged.match(t)]:
        why = "values of this type are not read as they are, or not compared as they are sorted"
        refuse_pages(step, why, f"the primary key {', '.join(unpaged)}")
    known = {step.database.case_folded(name): name for name in columns}
    if unknown := [name for name in values if step.database.case_folded(name) not in known]:
        stop(
            MissingParent,
            f"{step.call}: there is no such column.{meant(unknown[0], columns)}",
            (", ".join(columns), ", ".join(unknown)),
            "Stopped, because there is nothing to fill.",
            f"helpers.add_column({step.table!r}, sa.Column({unknown[0]!r}, ...))  # before this",
        )
    values = {known[step.database.case_folded(name)]: value for name, value in values.items()}
    table = sa.table(step.table, *columns.values(), schema=step.schema)
    keys = [sa.column(name, sa.types.NULLTYPE) for name in names]
    as_text = {name: columns[name].type for name in names if paging.as_text.match(typed[name])}
    able = {c["name"] for c in there if c["nullable"]} if paging.keys_may_be_null else set()
    null = [key for key in keys if key.name in able]
    progress = Progress(printable(subject(step)))
    return Pages(step, table, values, where, keys, null, as_text, progress)


def count_rows(pages: Pages) -> None:
    """Count the remaining rows, for the log and the estimated time."""
    count = pages.look(sa.func.count()).where(pages.where)
    total = pages.step.database.connection.execute(count).scalar() or 0
    pages.progress.total = total
    log_line(f"backfill {subject(pages.step)}: {total} rows to update")


def refuse_pages(step: Step, why: str, found: str, *way: str) -> NoReturn:
    both = (
        f"helpers.backfill({step.table!r}, {{...}}, where='... IS NULL')  # or, all at once:",
        f"helpers.execute('UPDATE {step.table} SET ...', once='{step.table}')",
    )
    stop(
        UnsafeOperation,
        f"{step.call}: cannot go page by page.",
        (found, "values, a where that excludes what is done, and a primary key that stays"),
        f"Stopped, because {why}.",
        *(way or both),
    )


def update_pages(pages: Pages, batch_size: int, pause: float) -> None:
    """Update page after page, and choose the size of the next one by the time taken."""
    progress, size = pages.progress, max(1, min(batch_size, FIRST_PAGE))
    paging = pages.step.server.paging
    if paging.prepare is not None:
        paging.prepare(pages.step.database)
    if pages.may_be_null:
        without = sa.or_(*(key.is_(None) for key in pages.may_be_null))
        progress.rows += patiently(pages, lambda: pages.update(without))
    patiently(pages, lambda: refuse_repeating(pages))
    last: Sequence[Any] | None = None
    while (first := first_key(pages, last)) is not None:
        last = last_key(pages, first, size)
        page = [key_condition(pages, operator.ge, first)]
        page += [] if last is None else [key_condition(pages, operator.le, last)]
        begun = time.monotonic()
        progress.rows += patiently(pages, partial(pages.update, *page))
        took = max(time.monotonic() - begun, 0.001)
        size = max(1, min(batch_size, int(size * min(2, PAGE_SECONDS / took))))
        progress.pages += 1
        show_progress(progress)
        if last is None:
            break
        time.sleep(pause)


def patiently(pages: Pages, act: Callable[[], T]) -> T:
    """Update a page; if a row stays locked for long, wait without holding a lock and retry.

    The same applies after a deadlock, or if somebody changed rows that it had read.

    Retrying the whole revision instead would do no harm, but it might never end.
    """
    for seconds in WAITS:
        try:
            return act()
        except sa.exc.DBAPIError as error:
            if not is_lock_error(error):
                raise
            met = "a row was changed meanwhile" if is_outdated(error) else "a row is locked"
        log_line(f"retry backfill {subject(pages.step)}: {met}, again in {seconds} s")
        time.sleep(seconds)
    return act()


def first_key(pages: Pages, last: Sequence[Any] | None) -> Sequence[Any] | None:
    """Return the key of the next row to update; this query locks nothing."""
    query = pages.look_for_key().where(pages.where)
    if last is not None:
        query = query.where(key_condition(pages, operator.gt, last))
    return pages.step.database.connection.execute(query).first()


def last_key(pages: Pages, first: Sequence[Any], size: int) -> Sequence[Any] | None:
    """Return the last key of a page; None for the last page.

    All rows count, not only those to be updated, because the server locks what it reads.
    """
    query = pages.look_for_key().where(key_condition(pages, operator.ge, first))
    return pages.step.database.connection.execute(query.offset(size - 1)).first()


def key_condition(pages: Pages, compare: Any, key: Sequence[Any]) -> Any:
    """Return the condition that a row's key is before, at or after another one.

    MariaDB and MySQL read the whole table if rows are compared as tuples, but only a range of the
    key if their columns are compared one by one; PostgreSQL does the opposite.
    """
    # untyped: the driver accepts what it returned, for example an enum, or a date of SQLite
    values = [
        sa.cast(sa.literal(value, sa.Text()), pages.as_text[column.name])
        if column.name in pages.as_text
        else sa.bindparam(None, value, type_=sa.types.NULLTYPE, unique=True)
        for column, value in zip(pages.keys, key, strict=True)
    ]
    if len(key) > 1 and pages.step.server.paging.compares_rows:
        return compare(sa.tuple_(*pages.keys), sa.tuple_(*values))
    strict = {operator.ge: operator.gt, operator.le: operator.lt}.get(compare, compare)
    *others, (column, value) = zip(pages.keys, values, strict=True)
    condition = compare(column, value)
    for column, value in reversed(others):
        condition = sa.or_(strict(column, value), sa.and_(column == value, condition))
    return condition


def refuse_repeating(pages: Pages) -> None:
    """Update one row twice, and undo it; refuse if the second update changes it again.

    A row that ``where`` still selects is harmless if it stays the same: a NULL copied from a NULL.
    """
    first, database = first_key(pages, None), pages.step.database
    if first is None:
        return
    row = [key_condition(pages, compare, first) for compare in (operator.ge, operator.le)]
    written: list[Any] = [sa.column(name) for name in pages.values]
    if pages.step.server.paging.as_text is not Paging.as_text:
        written = [sa.cast(column, sa.Text()) for column in written]
    look = pages.look(*written).where(pages.where, *row)
    after = []
    database.run(database.server.begin)
    try:
        for _ in range(2):
            pages.update(*row)
            after.append(database.connection.execute(look).first())
    finally:
        database.run("ROLLBACK")
    if after[0] is not None and after[0] != after[1]:
        why = "after a kill, rows that are done would be updated again"
        refuse_pages(pages.step, why, "a row that where still finds after it was done")


def show_progress(progress: Progress) -> None:
    """Draw a bar on a terminal; otherwise write a log line every few seconds."""
    now, period = time.monotonic(), 0.1 if is_terminal(sys.stderr) else SHOWN_EVERY
    if now - progress.shown < period:
        return
    progress.shown = now
    share = min(1.0, progress.rows / max(progress.total, 1))
    if not draw_line(f"{progress.table} [{'#' * int(share * 20):.<20}] {progress}"[:79]):
        log_line(f"backfill {progress.table}: {progress}")


def draw_line(text: str) -> bool:
    """Draw a line over the last one if there is a terminal; tell whether there is."""
    if is_terminal(sys.stderr):
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()
    return is_terminal(sys.stderr)
