"""The table of revisions and checks for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Report
from alembic_toolkit.report.columns import cut, pad, width_of, wrap
from alembic_toolkit.report.findings import (
    STYLES,
    WORST,
    Row,
    by_status,
    checks_of,
    count,
    grouped,
    of_database,
    one_line,
    rows_of,
)

_SHORT = {results.DOWN: "down", results.UP_AGAIN: "again", results.ROWS: "rows"}
_COLOURS = {style.mark: style.colour for style in STYLES.values()}
_MANY = 3  # so many rows with the same marks are one row

Paint = Callable[[str, str], str]  # a text, and the code of its colour


def text_table(report: Report, width: int, paint: Paint) -> list[str]:
    rows, names = rows_of(report), [one.database for one in report.proofs]
    if not rows:
        return []
    checks = checks_of(report)
    if any(row.has_problem_of_history for row in rows):
        checks = [results.SELF_CONTAINED, *checks]
    listed, summed = _sorted_out(rows, names, checks)
    lines: list[str] = []
    if listed:
        lines = _grid(listed, checks, names, width, paint) + _legend(listed, names, width)
    for statuses, number in summed.items():
        where = by_status(zip(statuses, names, strict=True))
        revisions = count(report.revisions, "revision")
        lines += wrap(one_line(f"{number} of {revisions}: {where}"), width)
    return lines + [line for one in of_database(report) for line in wrap(one_line(one), width)]


def _sorted_out(
    rows: list[Row], names: list[str], checks: list[str]
) -> tuple[list[tuple[str, list[str]]], Counter[tuple[str, ...]]]:
    """Return labelled rows of marks, and counts of outcomes that need no row."""
    listed: list[tuple[tuple[str, ...], str]] = []
    summed: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if row.statuses() <= {results.PROVEN, results.NOT_REACHED}:
            summed[tuple(_worst(row, name) for name in names)] += 1
            continue
        listed.append((tuple(_marks(row, names, check) for check in checks), row.any.id))
    by_marks = grouped(listed)
    many = {m: ids for m, ids in by_marks.items() if len(ids) > _MANY and "F" not in "".join(m)}
    found = [(id_, list(marks)) for marks, id_ in listed if marks not in many]
    found += [(f"{ids[0]} and {len(ids) - 1} more", list(marks)) for marks, ids in many.items()]
    return found, summed


def _worst(row: Row, database: str) -> str:
    if database not in row.on:
        return results.NOT_REACHED
    statuses = {outcome.status for outcome in row.on[database].checks.values()}
    return next((status for status in WORST if status in statuses), results.NOT_REACHED)


def _marks(row: Row, names: list[str], check: str) -> str:
    """Return a letter for each database."""
    if check in results.OF_HISTORY:
        return "F" if row.has_problem_of_history else "."
    outcomes = [row.outcome(name, check) for name in names]
    return "".join(STYLES[outcome.status].mark if outcome else " " for outcome in outcomes)


def _grid(
    listed: list[tuple[str, list[str]]],
    checks: list[str],
    names: list[str],
    width: int,
    paint: Paint,
) -> list[str]:
    """Return the rows in columns, with room between the marks or without."""
    heads = ["files" if c in results.OF_HISTORY else _SHORT.get(c, c) for c in checks]
    spaced = [max(len(head), 2 * len(names) - 1) for head in heads]
    tight = [max(len(head), len(names)) for head in heads]
    gap, widths = (" ", spaced) if sum(spaced) + 2 * len(spaced) + 24 <= width else ("", tight)
    room = width - sum(widths) - 2 * len(widths)
    if room < 12:
        return _list(listed, heads, width)
    labels = min(max(width_of(one_line(label)) for label, _ in listed), room)
    lines = [" " * labels + "  " + "  ".join(map(str.ljust, heads, widths)).rstrip()]
    for label, marks in listed:
        cells = (_cell(mark, gap, size, paint) for mark, size in zip(marks, widths, strict=True))
        lines.append(f"{pad(cut(one_line(label), labels), labels)}  {'  '.join(cells)}".rstrip())
    return lines


def _list(listed: list[tuple[str, list[str]]], heads: list[str], width: int) -> list[str]:
    """Return the rows for a terminal that is too narrow for columns."""
    lines = []
    for label, marks in listed:
        cells = (f"{head} {m}" for head, m in zip(heads, marks, strict=True) if m.strip("."))
        lines += [cut(one_line(label), width), *wrap(", ".join(cells), width, "  ")]
    return lines


def _cell(marks: str, gap: str, size: int, paint: Paint) -> str:
    painted = gap.join(paint(mark, _COLOURS.get(mark, "")) for mark in marks)
    return painted + " " * (size - len(gap.join(marks)))


def _legend(listed: list[tuple[str, list[str]]], names: list[str], width: int) -> list[str]:
    used = {mark for _, marks in listed for mark in "".join(marks)}
    meanings = ", ".join(f"{s.mark} {status}" for status, s in STYLES.items() if s.mark in used)
    order = "" if len(names) == 1 else f"; from left to right: {', '.join(map(one_line, names))}"
    return ["", *wrap(meanings + order, width)]
