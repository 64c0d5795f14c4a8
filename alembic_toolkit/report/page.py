"""A report as one page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

import sqlparse
from alembic.util import CommandError

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Report, RevisionProof
from alembic_toolkit.prove.statements import only_looks
from alembic_toolkit.report.columns import cut
from alembic_toolkit.report.findings import (
    REASONED,
    STYLES,
    WORST,
    Problem,
    Reason,
    Row,
    checks_of,
    count,
    duration,
    findings_of,
    grouped,
    notes_of,
    of_database,
    one_line,
    reasons_for,
    rows_of,
    summary_of,
    verdict_of,
    warnings_of,
)
from alembic_toolkit.report.graph import html_graph
from alembic_toolkit.report.made import Made
from alembic_toolkit.report.markup import anchor, classed, link, safe
from alembic_toolkit.report.orders import CODE, breaks_of, verdicts_of

_STEP = {results.UP: "up", results.DOWN: "down", results.UP_AGAIN: "up again"}
_LONGEST_SQL = 20_000  # letters of one text on the page
_WIDEST = 100  # characters of a line of SQL that is shown as it is


def refuse_unwritable(path: Path) -> None:
    """Refuse, before a long proof, a file that could not be written after it.

    :raises CommandError: the file cannot be written.
    """
    is_there = path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        raise CommandError(f"--html {path} cannot be written: {error.strerror}") from None
    if not is_there:
        path.unlink()


def html(report: Report, made: Made | None = None) -> str:
    """Return the report as one page that needs nothing else: no network, no script to be read.

    :param made: when it was made, of which commit, with which versions; without it nothing is said.
    """
    rows = rows_of(report)
    page = (files(__package__) / "page.html").read_text(encoding="utf-8")
    values = {
        "policy": _policy(page),
        "title": safe(f"{summary_of(report)} - {report.config}"),
        "status": ("ok", "bad", "bad")[report.status],
        "head": _html_head(report, made),
        "findings": _html_findings("Findings", findings_of(report), {row.any.id for row in rows})
        + _html_findings("Warnings", warnings_of(report), ()),
        "reasons": _html_reasons(report) + _html_notes(report),
        "graph": html_graph(rows),
        "revisions": "\n".join(_html_revisions(report, rows)),
        "filters": _html_filters(rows),
        "empty": "" if rows else "hidden",
    }
    return Template(page).substitute(values)


def _policy(page: str) -> str:
    """Allow the page's own script and nothing else, whatever a revision's SQL may look like."""
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _html_head(report: Report, made: Made | None) -> str:
    """Return the verdict, the circumstances, and a row for each database."""
    revisions = count(report.revisions, "revision")
    lines = [
        f"<h1>{safe(verdict_of(report))}</h1>",
        f"<p>{revisions} of <code>{safe(report.config)}</code>, {duration(report.seconds)}</p>",
    ]
    if made:
        of = f", commit {made.commit}" if made.commit else ""
        lines.append(
            f"<p class=made><small>{safe(f'{made.when}{of}; {made.versions}')}</small></p>"
        )
    for one in report.proofs:
        if one.error:
            lines.append(f"<h2>Could not run on {safe(one.database)}</h2>")
            lines.append(f"<pre>{safe(one.error)}</pre>")
    if report.proofs:
        lines.append("<table class=databases><tr><th>database<th>proven<th>findings<th>time")
        lines += [_html_database(one, report.revisions) for one in report.proofs]
        lines.append("</table>")
    lines += [f"<p><small>{safe(line)}</small></p>" for line in of_database(report)]
    return "\n".join(lines)


def _html_database(one: results.Proof, revisions: int) -> str:
    outcomes = [{o.status for o in revision.checks.values()} for revision in one.revisions]
    proven = sum(statuses <= {results.PROVEN} for statuses in outcomes)
    number = len(one.findings)
    return (
        f"<tr><th scope=row>{safe(one.database)}<br><small>{safe(one.server)}</small>"
        f"<td>{proven} of {revisions}"
        f"<td>{classed(str(number), results.FAULTY) if number else 0}<td>{duration(one.seconds)}"
    )


def _html_findings(heading: str, problems: list[Problem], sections: Collection[str]) -> str:
    """Return a list of findings; those of a revision in brief, for its section has the rest."""
    items = []
    for problem in problems:
        of = problem.finding
        if of.revision not in sections:
            items.append(f"<li>{_html_finding(problem)}")
            continue
        on = f" on {safe(', '.join(problem.databases))}" if problem.databases else ""
        items.append(
            f'<li><a href="{link(of.revision)}">{safe(of.revision)}</a> '
            f"<small>{safe(of.check)}{on}</small><br>{safe(cut(one_line(of.problem), 300))}"
        )
    listed = "\n".join(items)
    head = f"<section class=findings><h2>{heading}</h2>"
    return f"{head}<ol>\n{listed}\n</ol></section>" if items else ""


def _html_finding(problem: Problem, path: str = "") -> str:
    """Return all details of a finding, except the path that stands above it."""
    of = problem.finding
    on = f" on {safe(', '.join(problem.databases))}" if problem.databases else ""
    lines = [f"<article><h4>{safe(of.check)}{on}</h4><p>{safe(of.problem)}</p>"]
    if of.path != path:
        lines.append(f"<p><code>{safe(of.path)}</code></p>")
    for details, names in problem.details.items():
        if details:
            lines += [f"<p>{safe(', '.join(names))}:</p>"] if len(problem.details) > 1 else []
            lines.append(f"<pre>{chr(10).join(map(_html_change, details))}</pre>")
    if of.remedy:
        lines.append(f"<p>Write instead:</p><pre class=remedy>{safe(of.remedy)}</pre>")
    return "".join(lines) + "</article>"


def _html_change(line: str) -> str:
    kind = {"+": "ins", "-": "del", "~": "b"}.get(line.lstrip()[:1])
    return f"<{kind}>{safe(line)}</{kind}>" if kind else safe(line)


def _html_reasons(report: Report) -> str:
    """Return why something is excepted, declared or not judged."""
    lines = []
    for status, heading in REASONED.items():
        if reasons := reasons_for(report, status):
            lines.append(f"<section><h2>{heading}</h2><dl>")
            lines += [_html_reason(reason) for reason in reasons]
            lines.append("</dl></section>")
    return "\n".join(lines)


def _html_reason(reason: Reason) -> str:
    shown = [id_ for id_ in reason.revisions if id_]
    links = [f'<a href="{link(id_)}">{safe(id_)}</a>' for id_ in shown[:20]]
    links += [f"{len(shown) - 20} more"] if len(shown) > 20 else []
    where = f"{', '.join(reason.checks)} on {', '.join(reason.databases)}"
    return (
        f"<dt>{', '.join(links) or 'The whole history'} <small>{safe(where)}</small>"
        f"<dd>{safe(reason.why or 'no reason given')}"
    )


def _html_notes(report: Report) -> str:
    notes = [
        f"<li>{safe(note)} <small>{safe(', '.join(names))}</small>"
        for note, names in notes_of(report).items()
    ]
    if not notes:
        return ""
    return "<section><h2>Notes</h2><ul>" + "\n".join(notes) + "</ul></section>"


def _html_filters(rows: list[Row]) -> str:
    """Return a link for each status of any revision, which filters by it."""
    statuses = Counter(status for row in rows for status in row.shown())
    return " ".join(
        f'<a href="#filter={quote(status)}">{status} <small>{statuses[status]}</small></a>'
        for status in WORST
        if statuses[status]
    )


# Each revision of the page


def _html_revisions(report: Report, rows: list[Row]) -> Iterator[str]:
    """Yield a section for each revision, the newest first, as `alembic history` does."""
    names, checks = [one.database for one in report.proofs], checks_of(report)
    times = [time for row in rows for one in row.on.values() for time in one.seconds.values()]
    # The time whose bar is full: one slow step shall not make dots of all the others.
    slow = sorted(times)[len(times) * 19 // 20] if times else 0.0
    for row in reversed(rows):
        of = row.any
        statuses = ", ".join(classed(status, status) for status in row.shown())
        yield "".join(
            (
                f"<details class=rev{' open' if row.problems else ''}><summary>",
                f"<code>{safe(of.id)}</code> <span>{safe(one_line(of.title))}</span> ",
                f"<small>{statuses}</small></summary>",
                f'<div id="{escape(anchor(of.id))}" tabindex=-1>',
                f"<p class=file><code>{safe(of.path)}</code>{_html_parents(of)}</p>",
                *(_html_finding(problem, of.path) for problem in row.problems),
                _html_checks(row, names, checks, slow),
                *_html_whys(row),
                *_html_order(row),
                *_html_locks(row),
                *_html_sql(row, "upgrade"),
                *_html_sql(row, "downgrade"),
                "</div></details>",
            )
        )


def _html_parents(of: RevisionProof) -> str:
    shown = []
    for word, ids in (("after", of.parents), ("depends on", of.depends)):
        links = ", ".join(f'<a href="{link(id_)}">{safe(id_)}</a>' for id_ in ids)
        shown += [f"{word} {links}"] if ids else []
    return f"<br><small>{', '.join(shown)}</small>" if shown else ""


def _html_checks(row: Row, names: list[str], checks: list[str], slow: float) -> str:
    """Return a table of checks and databases, with the time that each step took."""
    lines = [f"<div class=wide><table><tr><th>check{''.join(f'<th>{safe(n)}' for n in names)}"]
    for check in checks:
        cells = (_html_cell(row, name, check, slow) for name in names)
        lines.append(f"<tr><th scope=row>{check}{''.join(cells)}")
    rest = {step for one in row.on.values() for step in one.seconds} - set(_STEP.values())
    for step in sorted(rest):
        cells = (f"<td>{_html_time(row, name, step, slow)}" for name in names)
        lines.append(f"<tr class=rest><th scope=row>{safe(step)}{''.join(cells)}")
    return "".join(lines) + "</table></div>"


def _html_cell(row: Row, name: str, check: str, slow: float) -> str:
    outcome = row.outcome(name, check)
    if outcome is None:
        return "<td>"
    style = STYLES[outcome.status]
    of = "" if style.kind == "ok" else f" class={style.kind}"
    time = _html_time(row, name, _STEP.get(check, ""), slow)
    return f"<td{of}>{style.label}{time}"


def _html_time(row: Row, name: str, step: str, slow: float) -> str:
    """Return a time and its bar."""
    if name not in row.on or step not in row.on[name].seconds:
        return ""
    seconds = row.on[name].seconds[step]
    share = min(100, round(100 * seconds / slow)) if slow else 0
    bar = f"<i style=width:{share}%></i>" if share else ""
    return f" {duration(seconds)}{bar}"


def _html_whys(row: Row) -> Iterator[str]:
    """Yield the reasons of this revision."""
    found = grouped(
        ((outcome.why, check), name)
        for name, one in row.on.items()
        for check, outcome in one.checks.items()
        if outcome.status in REASONED and outcome.why
    )
    for (why, check), names in found.items():
        yield f"<p><small>{safe(check)} on {safe(', '.join(names))}:</small> {safe(why)}</p>"


def _html_order(row: Row) -> Iterator[str]:
    """Yield the deploy order, and the statements that prove it."""
    verdict = verdicts_of(row)
    if not verdict:
        return
    yield f"<p>{safe(verdict)} <small>deploy order</small></p>"
    lines = "".join(
        f"<tr><td>{safe(CODE[one.code])}<td><code>{safe(one.table)}</code>"
        f"<td><code>{safe(one.statement)}</code><td>{safe(one.error)}<td>{safe(', '.join(on))}"
        for one, on in breaks_of(row).items()
    )
    if lines:
        yield (
            "<details class=locks><summary>what breaks</summary><div class=wide><table>"
            f"<tr><th>code<th>table<th>statement<th>error<th>on{lines}</table></div></details>"
        )


def _html_locks(row: Row) -> Iterator[str]:
    """Yield the locks of each statement of the upgrade; equal ones of several databases once."""
    found = grouped((tuple(one.locks), name) for name, one in row.on.items())
    found.pop((), None)
    for locks, names in found.items():
        lines = "".join(
            f"<tr><td>{one.line or ''}<td><code>{safe(one.table)}</code>"
            f"<td{_blocking(one)}>{safe(one.who)}<td>{safe(one.how)}<td>{safe(one.observed)}"
            f"<td><code>{safe(one.statement)}</code>"
            for one in locks
        )
        yield (
            f"<details class=locks><summary>locks <small>{safe(', '.join(names))}</small></summary>"
            "<div class=wide><table><tr><th>line<th>table<th>who waits<th>how long<th>observed"
            f"<th>statement{lines}</table></div></details>"
        )


def _blocking(lock: results.Lock) -> str:
    waits = lock.who in (results.WRITERS, results.EVERYBODY) and lock.how != results.MOMENT
    return f" class={STYLES[results.FAULTY].kind}" if waits else ""


def _readable(sql: str) -> str:
    """Break a long query into lines for reading, not for execution."""
    if len(sql) > _LONGEST_SQL or all(len(line) <= _WIDEST for line in sql.splitlines()):
        return sql
    with suppress(sqlparse.exceptions.SQLParseError):  # more words than it takes
        return str(sqlparse.format(sql, reindent=True))
    return sql


def _html_sql(row: Row, direction: str) -> Iterator[str]:
    """Yield the SQL of each server, equal texts once."""
    texts = grouped((tuple(getattr(one, direction)), name) for name, one in row.on.items())
    texts.pop((), None)
    for statements, names in texts.items():
        done = [sql for sql in statements if not only_looks(sql)]
        looks = len(statements) - len(done)
        yield (
            f"<details><summary>{direction} <small>{safe(', '.join(names))}, "
            f"{count(len(done), 'statement')}</small></summary>{_html_statements(done)}"
        )
        if looks:
            yield (
                f"<details class=looks><summary>with {looks} more that only look</summary>"
                f"{_html_statements(statements)}</details>"
            )
        yield "</details>"


def _html_statements(statements: Sequence[str]) -> str:
    if not statements:
        return ""
    sql = "\n".join(_readable(statement.strip().rstrip(";")) + ";" for statement in statements)
    rest = len(sql) - _LONGEST_SQL
    cut = f"\n-- {rest} more letters: see --json" if rest > 0 else ""
    return f"<pre>{safe(sql[:_LONGEST_SQL] + cut)}</pre>"
