"""Show what a round trip found out: `text` for a terminal, `to_json` for machines, `html` to read.

All three say the same and decide nothing: what is known stands in `proof`.  What several databases
have in common is said once.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from alembic_toolkit import proof
from alembic_toolkit.proof import Finding, Outcome, Report, RevisionProof

# The worst first: what a revision is called whose checks had several outcomes.
_WORST = (
    proof.FAULTY,
    proof.EXCEPTED,
    proof.DECLARED,
    proof.NOT_JUDGED,
    proof.NOT_REACHED,
    proof.PROVEN,
)
# What has a reason that the reader may want to know, and the heading above these reasons.
_REASONED = {
    proof.EXCEPTED: "Known exceptions",
    proof.DECLARED: "Declared irreversible",
    proof.NOT_JUDGED: "Not judged",
}


# What is the same in all three


@dataclasses.dataclass
class _Said:
    """One problem, and the databases that have it."""

    finding: Finding
    details: dict[tuple[str, ...], list[str]]  # -> the databases that have these

    @property
    def databases(self) -> list[str]:
        return [name for names in self.details.values() for name in names if name]


@dataclasses.dataclass
class _Reason:
    """Why a status was given, said once for all checks, databases and revisions that share it."""

    why: str
    checks: tuple[str, ...]
    databases: tuple[str, ...]
    revisions: list[str]


@dataclasses.dataclass
class _Row:
    """One revision on all databases."""

    any: RevisionProof
    on: dict[str, RevisionProof]
    said: list[_Said]

    def outcome(self, database: str, check: str) -> Outcome | None:
        """Return what came of a check; None if it was not asked for."""
        if database not in self.on:
            return Outcome(proof.NOT_REACHED)
        return self.on[database].checks.get(check)

    def statuses(self) -> set[str]:
        """Return all that is to be said of the revision in a word."""
        found = {o.status for one in self.on.values() for o in one.checks.values()}
        return found | ({proof.FAULTY} if self.said else set()) or {proof.NOT_REACHED}

    def shown(self) -> list[str]:
        """Return the statuses, the worst first; what is proven only if all of it is."""
        found = self.statuses()
        return [s for s in _WORST if s in found and (s != proof.PROVEN or found == {s})]


def _databases(report: Report) -> list[str]:
    return [one.database for one in report.proofs]


def _rows(report: Report) -> list[_Row]:
    """Return the revisions in the order in which they were run."""
    on: dict[str, dict[str, RevisionProof]] = {}
    # The longest first: a database that could not run to its end has only the beginning.
    for one in sorted(report.proofs, key=lambda one: -len(one.revisions)):
        for revision in one.revisions:
            on.setdefault(revision.id, {})[one.database] = revision
    said: dict[str, list[_Said]] = {}
    for problem in _said(report):
        said.setdefault(problem.finding.revision, []).append(problem)
    return [_Row(next(iter(by.values())), by, said.get(id_, [])) for id_, by in on.items()]


def _checks(report: Report) -> list[str]:
    """Return the checks of revisions that were asked for."""
    asked = {check for one in report.proofs for r in one.revisions for check in r.checks}
    return [check for check in proof.OF_REVISION if check in asked]


def _said(report: Report) -> list[_Said]:
    """Return the findings, the same problem on several databases once, in the history's order."""
    found: dict[Finding, _Said] = {}
    for finding in report.all_findings():
        key = dataclasses.replace(finding, database="", details=())
        one = found.setdefault(key, _Said(finding, {}))
        one.details.setdefault(finding.details, []).append(finding.database)
    ids = [r.id for one in sorted(report.proofs, key=_length) for r in one.revisions]
    place = {id_: number for number, id_ in enumerate(ids)}
    order = {check: number for number, check in enumerate(proof.CHECKS)}

    def position(one: _Said) -> tuple[bool, int, int]:
        of = one.finding
        return of.check not in proof.OF_HISTORY, place.get(of.revision, len(place)), order[of.check]

    return sorted(found.values(), key=position)


def _length(one: proof.Proof) -> int:
    return len(one.revisions)


def _reasons(report: Report, status: str) -> list[_Reason]:
    """Return why checks have this status, each reason once."""
    where: dict[tuple[str, str, str], list[str]] = {}  # revision, why, check -> databases
    for one in report.proofs:
        outcomes = [(r.id, c, o) for r in one.revisions for c, o in r.checks.items()]
        outcomes += [("", check, outcome) for check, outcome in one.checks.items()]
        for id_, check, outcome in outcomes:
            if outcome.status == status:
                where.setdefault((id_, outcome.why, check), []).append(one.database)
    checks: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (id_, why, check), databases in where.items():
        checks.setdefault((id_, why, tuple(databases)), []).append(check)
    found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (id_, why, names), of in checks.items():
        found.setdefault((why, tuple(of), names), []).append(id_)
    return [_Reason(why, of, names, ids) for (why, of, names), ids in found.items()]


def _of_database(report: Report) -> list[str]:
    """Return a line for each check that is made once on each database."""
    lines = []
    for check in proof.OF_DATABASE:
        where: dict[str, list[str]] = {}
        for one in report.proofs:
            if check in one.checks:
                where.setdefault(one.checks[check].status, []).append(one.database)
        said = "; ".join(f"{status} on {', '.join(on)}" for status, on in where.items())
        lines += [f"{check}: {said}"] if said else []
    return lines


def _notes(report: Report) -> dict[str, list[str]]:
    """Return each note with the databases it was made on."""
    found: dict[str, list[str]] = {}
    for one in report.proofs:
        for note in one.notes:
            found.setdefault(note, []).append(one.database)
    return found


def _verdict(report: Report) -> str:
    """Return what it comes down to, without the numbers of each database."""
    stopped = [one.database for one in report.proofs if one.error]
    words = [f"could not run on {', '.join(stopped)}"] if stopped else []
    said = _said(report)
    if said:
        words.append(_count(len(said), "finding"))
    elif not stopped:
        words.append("proven" if report.proofs else "no finding")
    excepted, declared = (
        len({id_ for reason in _reasons(report, status) for id_ in reason.revisions})
        for status in (proof.EXCEPTED, proof.DECLARED)
    )
    words += [_count(excepted, "known exception")] if excepted else []
    words += [f"{declared} declared irreversible"] if declared else []
    verdict = ", ".join(words)
    return verdict[0].upper() + verdict[1:]


def _summary(report: Report) -> str:
    """Return the verdict in one line, and on what."""
    databases = _count(len(report.proofs), "database")
    extent = f"{_count(report.revisions, 'revision')}, {databases}, {_time(report.seconds)}"
    return f"{_verdict(report)}: {extent}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _plain(text: str) -> str:
    """Return the text with nothing in it that moves the cursor, hides or turns what follows."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else _visible(letter)
        for letter in text.replace("\r\n", "\n").replace("\t", "    ")
    )


def _visible(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _line(text: str) -> str:
    return " ".join(_plain(text).split())


# A terminal

_MARKS = {
    proof.PROVEN: ".",
    proof.FAULTY: "F",
    proof.EXCEPTED: "k",
    proof.DECLARED: "d",
    proof.NOT_JUDGED: "?",
    proof.NOT_REACHED: "-",
}
_SHORT = {proof.DOWN: "down", proof.UP_AGAIN: "again", proof.ROWS: "rows"}
_COLOURS = {"F": "31;1", "k": "33", "d": "33", "?": "33", "-": "2", ".": "32"}
_MANY = 3  # so many rows with the same marks are one row
_LINES = 24  # of a diff, an error, a list: the rest is in the other reports


def text(report: Report, width: int | None = None, colour: bool | None = None) -> str:
    """Return the report for a terminal: a table, the findings, the reasons, the verdict.

    :param width: columns to fill; by default those of the terminal, at most 120.
    :param colour: by default on a terminal only, and never with ``NO_COLOR`` (no-color.org).
    """
    width = max(40, width or min(120, shutil.get_terminal_size((100, 24)).columns))
    paint = _paint if _has_colours(colour) else _leave
    blocks = [
        _text_databases(report, width),
        _text_table(report, width, paint),
        _text_findings(report, width, paint),
        *(_text_reasons(report, status, width) for status in _REASONED),
        _text_errors(report, width, paint),
        _text_notes(report, width),
        _wrap(_line(_summary(report)), width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _has_colours(asked: bool | None) -> bool:
    if asked is not None:
        return asked
    allowed = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return allowed and sys.stdout.isatty()


def _paint(shown: str, code: str) -> str:
    return f"\x1b[{code}m{shown}\x1b[0m" if code else shown


def _leave(shown: str, _: str) -> str:
    return shown


def _text_databases(report: Report, width: int) -> list[str]:
    """Return a line for each database, without its server's version where there is no room."""
    columns = [
        (
            _line(one.database),
            _line(one.server),
            ", ".join(
                (
                    _count(len(one.revisions), "revision"),
                    *([_count(len(one.findings), "finding")] if one.findings else []),
                    _time(one.seconds),
                )
            ),
        )
        for one in report.proofs
    ]
    if not columns:
        return []
    names, servers, rest = (max(map(_columns, one)) for one in zip(*columns, strict=True))
    fits = names + servers + rest + 4 <= width
    lines = (
        f"{_pad(name, names)}  {_pad(server, servers) + '  ' if fits else ''}{said}"
        for name, server, said in columns
    )
    return [part for line in lines for part in _wrap(line, width, hang="  ")]


def _text_table(report: Report, width: int, paint: Callable[[str, str], str]) -> list[str]:
    rows, names = _rows(report), _databases(report)
    if not rows:
        return []
    checks = _checks(report)
    if any(said.finding.check in proof.OF_HISTORY for row in rows for said in row.said):
        checks = [proof.SELF_CONTAINED, *checks]
    listed, summed = _sorted_out(rows, names, checks)
    lines = _grid(listed, checks, names, width, paint) if listed else []
    for statuses, number in summed.items():
        where: dict[str, list[str]] = {}
        for name, status in zip(names, statuses, strict=True):
            where.setdefault(status, []).append(name)
        said = "; ".join(f"{status} on {', '.join(on)}" for status, on in where.items())
        lines += _wrap(_line(f"{number} of {_count(report.revisions, 'revision')}: {said}"), width)
    return lines + [line for one in _of_database(report) for line in _wrap(_line(one), width)]


def _sorted_out(
    rows: list[_Row], names: list[str], checks: list[str]
) -> tuple[list[tuple[str, list[str]]], Counter[tuple[str, ...]]]:
    """Return labelled rows of marks, and how often what needs no row of its own happened."""
    listed: dict[tuple[str, ...], list[str]] = {}
    order: list[tuple[tuple[str, ...], str]] = []
    summed: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        if row.statuses() <= {proof.PROVEN, proof.NOT_REACHED}:
            summed[tuple(_worst(row, name) for name in names)] += 1
            continue
        marks = tuple(_marks(row, names, check) for check in checks)
        listed.setdefault(marks, []).append(row.any.id)
        order.append((marks, row.any.id))
    grouped = {m for m, ids in listed.items() if len(ids) > _MANY and "F" not in "".join(m)}
    found = [(id_, list(marks)) for marks, id_ in order if marks not in grouped]
    found += [
        (f"{listed[marks][0]} and {len(listed[marks]) - 1} more", list(marks))
        for marks in listed
        if marks in grouped
    ]
    return found, summed


def _worst(row: _Row, database: str) -> str:
    if database not in row.on:
        return proof.NOT_REACHED
    statuses = {outcome.status for outcome in row.on[database].checks.values()}
    return next((status for status in _WORST if status in statuses), proof.NOT_REACHED)


def _marks(row: _Row, names: list[str], check: str) -> str:
    """Return a letter for each database."""
    if check in proof.OF_HISTORY:
        return "F" if any(said.finding.check in proof.OF_HISTORY for said in row.said) else "."
    outcomes = [row.outcome(name, check) for name in names]
    return "".join(_MARKS.get(outcome.status, "?") if outcome else " " for outcome in outcomes)


def _grid(
    listed: list[tuple[str, list[str]]],
    checks: list[str],
    names: list[str],
    width: int,
    paint: Callable[[str, str], str],
) -> list[str]:
    """Return the rows in columns, with room between the marks or without."""
    heads = ["files" if c in proof.OF_HISTORY else _SHORT.get(c, c) for c in checks]
    spaced = [max(len(head), 2 * len(names) - 1) for head in heads]
    tight = [max(len(head), len(names)) for head in heads]
    gap, widths = (" ", spaced) if sum(spaced) + 2 * len(spaced) + 24 <= width else ("", tight)
    room = width - sum(widths) - 2 * len(widths)
    if room < 12:
        return _list(listed, heads, width) + _legend(listed, names, width)
    labels = min(max(_columns(_line(label)) for label, _ in listed), room)
    lines = [" " * labels + "  " + "  ".join(map(str.ljust, heads, widths)).rstrip()]
    for label, marks in listed:
        cells = (_cell(mark, gap, size, paint) for mark, size in zip(marks, widths, strict=True))
        lines.append(f"{_pad(_cut(_line(label), labels), labels)}  {'  '.join(cells)}".rstrip())
    return lines + _legend(listed, names, width)


def _list(listed: list[tuple[str, list[str]]], heads: list[str], width: int) -> list[str]:
    """Return the rows for a terminal that has no room for columns."""
    lines = []
    for label, marks in listed:
        cells = [
            f"{head} {mark}" for head, mark in zip(heads, marks, strict=True) if mark.strip(".")
        ]
        lines += [_cut(_line(label), width), *_wrap(", ".join(cells), width, "  ")]
    return lines


def _cell(marks: str, gap: str, size: int, paint: Callable[[str, str], str]) -> str:
    painted = gap.join(paint(mark, _COLOURS.get(mark, "")) for mark in marks)
    return painted + " " * (size - len(gap.join(marks)))


def _legend(listed: list[tuple[str, list[str]]], names: list[str], width: int) -> list[str]:
    used = {mark for _, marks in listed for mark in "".join(marks)}
    meanings = ", ".join(f"{mark} {status}" for status, mark in _MARKS.items() if mark in used)
    order = "" if len(names) == 1 else f"; from left to right: {', '.join(map(_line, names))}"
    return ["", *_wrap(meanings + order, width)]


def _text_findings(report: Report, width: int, paint: Callable[[str, str], str]) -> list[str]:
    lines: list[str] = []
    for number, said in enumerate(_said(report), 1):
        lines += [] if not lines else [""]
        lines += _text_finding(said, number, width, paint)
    return lines


def _text_finding(
    said: _Said, number: int, width: int, paint: Callable[[str, str], str]
) -> list[str]:
    """Return one finding: where, what, the difference, and what to write."""
    of = said.finding
    on = f" ({', '.join(said.databases)})" if said.databases else ""
    head = f"{number}. {of.check}{on}: {of.revision or 'the whole history'}"
    lines = [paint(line, _COLOURS["F"]) for line in _wrap(_line(head), width, hang="   ")]
    lines += _wrap(_line(of.path), width, "   ") if of.path else []
    lines += _short(_wrap(_plain(of.problem), width, "   "), _LINES // 2)
    for details, names in said.details.items():
        if len(said.details) > 1 and details:
            lines += _wrap(_line(", ".join(names)) + ":", width, "   ")
        lines += _short(
            [line for one in details for line in _wrap(_plain(one), width, "     ", "  ")]
        )
    if of.remedy:
        # Never wrapped: it is there to be copied.
        lines += ["   Write:", *(f"     {line}".rstrip() for line in _plain(of.remedy).split("\n"))]
    return lines


def _text_reasons(report: Report, status: str, width: int) -> list[str]:
    lines = []
    for reason in _reasons(report, status):
        names = ", ".join(_some(reason.revisions)) or "the whole history"
        where = f"{', '.join(reason.checks)}; {', '.join(reason.databases)}"
        lines += _wrap(_line(f"{names} ({where})"), width, "  ")
        lines += _short(_wrap(_plain(reason.why or "no reason given"), width, "    "))
    return [f"{_REASONED[status]}:", *lines] if lines else []


def _text_errors(report: Report, width: int, paint: Callable[[str, str], str]) -> list[str]:
    lines = []
    for one in report.proofs:
        if one.error:
            lines.append(paint(_cut(_line(f"Could not run on {one.database}:"), width), "31;1"))
            lines += _short(_wrap_error(one.error, width))
    return lines


def _wrap_error(text: str, width: int) -> list[str]:
    """Wrap the lines of an error, but not those that are code to be pasted."""
    lines = []
    for line in _plain(text).splitlines():
        lines += [f"  {line}"] if line.startswith("    ") else _wrap(line, width, "  ")
    return lines


def _text_notes(report: Report, width: int) -> list[str]:
    lines = [
        _wrap(_line(f"{note} ({', '.join(names)})"), width, "  ")
        for note, names in _notes(report).items()
    ]
    return ["Notes:", *_short([line for note in lines for line in note])] if lines else []


def _some(ids: Sequence[str], number: int = 6) -> list[str]:
    rest = len(ids) - number
    return [id_ for id_ in ids if id_] if rest <= 1 else [*ids[:number], f"{rest} more"]


def _short(lines: list[str], number: int = _LINES) -> list[str]:
    """Return the first lines, and how many there are more."""
    if len(lines) <= number:
        return lines
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
    return [*lines[: number - 1], f"{indent}[{len(lines) - number + 1} more lines: see --html]"]


def _columns(shown: str) -> int:
    """Count the columns that a terminal fills."""
    return sum(map(_column, shown))


def _column(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _pad(shown: str, width: int) -> str:
    return shown + " " * (width - _columns(shown))


def _take(letters: Iterable[str], width: int) -> str:
    taken = ""
    for letter in letters:
        width -= _column(letter)
        if width < 0:
            break
        taken += letter
    return taken


def _cut(shown: str, width: int) -> str:
    """Return what fits; ids differ at their ends, so the middle goes."""
    if _columns(shown) <= width:
        return shown
    if width < 8:
        return _take(shown, width)
    tail = _take(reversed(shown), (width - 2) // 2)[::-1]
    return f"{_take(shown, width - 2 - _columns(tail))}..{tail}"


def _wrap(shown: str, width: int, indent: str = "", hang: str = "") -> list[str]:
    """Return lines that fit, broken between words where a word is not longer than a line.

    :param hang: how much further in the second line of a long one stands.
    """
    lines = []
    for line in shown.split("\n"):
        own = indent + " " * min(len(line) - len(line.lstrip()), 8)
        lines += _wrap_line(line.strip(), width, own, own + hang)
    return lines


def _wrap_line(shown: str, width: int, indent: str, following: str) -> list[str]:
    lines, current = [], indent
    for word in shown.split(" "):
        spaced = current + (" " if current.strip() else "") + word
        if _columns(spaced) > width and current.strip():
            lines.append(current)
            spaced = following + word
        current = spaced
        while _columns(current) > width:
            lines.append(_take(current, width))
            current = following + current[len(lines[-1]) :]
    return [*lines, current.rstrip()]


# Machines


def to_json(report: Report) -> str:
    """Return the report as JSON in plain ASCII.

    ``version`` is 1: keys are added without notice, none is renamed or removed before it is 2.
    ``status`` is the exit status, ``verdict`` the last line of the text.  All other keys are those
    of the classes in `proof`: ``config``, ``revisions`` (their number), ``seconds``, ``findings``
    (of the files) and ``proofs``, one for each database, with its own ``revisions``, ``checks``,
    ``findings``, ``notes`` and ``error``.  What did not happen is there and empty.
    """
    values = {"version": 1, "status": report.status, "verdict": _summary(report)}
    return json.dumps(values | dataclasses.asdict(report), indent=1) + "\n"


# A page


_WORDS = {
    proof.PROVEN: ("ok", "\N{CHECK MARK}"),
    proof.FAULTY: ("bad", "\N{MULTIPLICATION X} finding"),
    proof.EXCEPTED: ("odd", "known"),
    proof.DECLARED: ("odd", "declared"),
    proof.NOT_JUDGED: ("odd", "not judged"),
    proof.NOT_REACHED: ("off", "not reached"),
}
_STEP = {proof.UP: "up", proof.DOWN: "down", proof.UP_AGAIN: "up again"}
_LONGEST_SQL = 20_000  # letters of one text on the page
_ROW, _LANE = 28, 14  # pixels in the graph: as in the style sheet


def html(report: Report) -> str:
    """Return the report as one page that needs nothing else: no network, no script to be read."""
    rows = _rows(report)
    page = (files(__package__) / "page.html").read_text(encoding="utf-8")
    values = {
        "policy": _policy(page),
        "title": _safe(f"{_summary(report)} - {report.config}"),
        "status": ("ok", "bad", "bad")[report.status],
        "head": _html_head(report),
        "findings": _html_findings(report, {row.any.id for row in rows}),
        "reasons": _html_reasons(report) + _html_notes(report),
        "graph": _html_graph(rows),
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


def _safe(shown: str) -> str:
    return escape(_plain(shown))


def _anchor(id_: str) -> str:
    """Return the name of a revision's section; a name has no spaces."""
    return "rev-" + re.sub(r"\s", "_", _plain(id_))


def _link(id_: str) -> str:
    return escape("#" + quote(_anchor(id_)))


def _classed(shown: str, status: str) -> str:
    return f"<b class={_WORDS[status][0]}>{_safe(shown)}</b>"


def _html_head(report: Report) -> str:
    """Return the verdict, and a row for each database."""
    lines = [f"<h1>{_safe(_verdict(report))}</h1>"]
    lines.append(
        f"<p>{_count(report.revisions, 'revision')} of <code>{_safe(report.config)}</code>, "
        f"{_time(report.seconds)}</p>"
    )
    for one in report.proofs:
        if one.error:
            lines.append(f"<h2>Could not run on {_safe(one.database)}</h2>")
            lines.append(f"<pre>{_safe(one.error)}</pre>")
    if report.proofs:
        lines.append("<table class=databases><tr><th>database<th>proven<th>findings<th>time")
        lines += [_html_database(one, report.revisions) for one in report.proofs]
        lines.append("</table>")
    lines += [f"<p><small>{_safe(line)}</small></p>" for line in _of_database(report)]
    return "\n".join(lines)


def _html_database(one: proof.Proof, revisions: int) -> str:
    whole = [
        all(outcome.status == proof.PROVEN for outcome in revision.checks.values())
        for revision in one.revisions
    ]
    number = len(one.findings)
    return (
        f"<tr><th scope=row>{_safe(one.database)}<br><small>{_safe(one.server)}</small>"
        f"<td>{sum(whole)} of {revisions}"
        f"<td>{_classed(str(number), proof.FAULTY) if number else 0}<td>{_time(one.seconds)}"
    )


def _html_findings(report: Report, sections: Collection[str]) -> str:
    """Return the list of findings: those of a revision in short, for its section says it all."""
    items = []
    for said in _said(report):
        of = said.finding
        if of.revision not in sections:
            items.append(f"<li>{_html_finding(said)}")
            continue
        on = f" on {_safe(', '.join(said.databases))}" if said.databases else ""
        items.append(
            f'<li><a href="{_link(of.revision)}">{_safe(of.revision)}</a> '
            f"<small>{_safe(of.check)}{on}</small><br>{_safe(_cut(_line(of.problem), 300))}"
        )
    if not items:
        return ""
    return (
        "<section class=findings><h2>Findings</h2><ol>\n" + "\n".join(items) + "\n</ol></section>"
    )


def _html_finding(said: _Said, path: str = "") -> str:
    """Return all that is known of a finding, but not the path that stands above it."""
    of = said.finding
    on = f" on {_safe(', '.join(said.databases))}" if said.databases else ""
    lines = [f"<article><h4>{_safe(of.check)}{on}</h4><p>{_safe(of.problem)}</p>"]
    if of.path != path:
        lines.append(f"<p><code>{_safe(of.path)}</code></p>")
    for details, names in said.details.items():
        if details:
            lines += [f"<p>{_safe(', '.join(names))}:</p>"] if len(said.details) > 1 else []
            lines.append(f"<pre>{chr(10).join(map(_html_change, details))}</pre>")
    if of.remedy:
        lines.append(f"<p>Write instead:</p><pre class=remedy>{_safe(of.remedy)}</pre>")
    return "".join(lines) + "</article>"


def _html_change(line: str) -> str:
    kind = {"+": "ins", "-": "del", "~": "b"}.get(line.lstrip()[:1])
    return f"<{kind}>{_safe(line)}</{kind}>" if kind else _safe(line)


def _html_reasons(report: Report) -> str:
    """Return why something is excepted, declared or not judged."""
    lines = []
    for status, heading in _REASONED.items():
        reasons = _reasons(report, status)
        if reasons:
            lines.append(f"<section><h2>{heading}</h2><dl>")
            lines += [_html_reason(reason) for reason in reasons]
            lines.append("</dl></section>")
    return "\n".join(lines)


def _html_reason(reason: _Reason) -> str:
    shown = [id_ for id_ in reason.revisions if id_]
    links = [f'<a href="{_link(id_)}">{_safe(id_)}</a>' for id_ in shown[:20]]
    links += [f"{len(shown) - 20} more"] if len(shown) > 20 else []
    where = f"{', '.join(reason.checks)} on {', '.join(reason.databases)}"
    return (
        f"<dt>{', '.join(links) or 'The whole history'} <small>{_safe(where)}</small>"
        f"<dd>{_safe(reason.why or 'no reason given')}"
    )


def _html_notes(report: Report) -> str:
    notes = [
        f"<li>{_safe(note)} <small>{_safe(', '.join(names))}</small>"
        for note, names in _notes(report).items()
    ]
    if not notes:
        return ""
    return "<section><h2>Notes</h2><ul>" + "\n".join(notes) + "</ul></section>"


def _html_filters(rows: list[_Row]) -> str:
    """Return a link for each status that some revision has: it filters by this word."""
    statuses = Counter(status for row in rows for status in row.shown())
    return " ".join(
        f'<a href="#filter={quote(status)}">{status} <small>{statuses[status]}</small></a>'
        for status in _WORST
        if statuses[status]
    )


# Each revision of the page


def _html_revisions(report: Report, rows: list[_Row]) -> Iterator[str]:
    """Yield a section for each revision, the newest first, as `alembic history` does."""
    names, checks = _databases(report), _checks(report)
    slow = _slow(rows)
    for row in reversed(rows):
        of = row.any
        yield "".join(
            (
                f"<details class=rev{' open' if row.said else ''}><summary>",
                f"<code>{_safe(of.id)}</code> <span>{_safe(_line(of.title))}</span> ",
                f"<small>{_html_statuses(row)}</small></summary>",
                f'<div id="{escape(_anchor(of.id))}" tabindex=-1>',
                f"<p class=file><code>{_safe(of.path)}</code>{_html_parents(of)}</p>",
                *(_html_finding(said, of.path) for said in row.said),
                _html_checks(row, names, checks, slow),
                *_html_whys(row),
                *_html_sql(row, "upgrade"),
                *_html_sql(row, "downgrade"),
                "</div></details>",
            )
        )


def _slow(rows: list[_Row]) -> float:
    """Return the time whose bar is full: one slow step shall not make dots of all the others."""
    times = [time for row in rows for one in row.on.values() for time in one.seconds.values()]
    return sorted(times)[len(times) * 19 // 20] if times else 0.0


def _html_statuses(row: _Row) -> str:
    return ", ".join(_classed(status, status) for status in row.shown())


def _html_parents(of: RevisionProof) -> str:
    shown = []
    for word, ids in (("after", of.parents), ("depends on", of.depends)):
        links = ", ".join(f'<a href="{_link(id_)}">{_safe(id_)}</a>' for id_ in ids)
        shown += [f"{word} {links}"] if ids else []
    return f"<br><small>{', '.join(shown)}</small>" if shown else ""


def _html_checks(row: _Row, names: list[str], checks: list[str], slow: float) -> str:
    """Return a table of checks and databases, with the time that each step took."""
    lines = [f"<div class=wide><table><tr><th>check{''.join(f'<th>{_safe(n)}' for n in names)}"]
    for check in checks:
        cells = (_html_cell(row, name, check, slow) for name in names)
        lines.append(f"<tr><th scope=row>{check}{''.join(cells)}")
    rest = {step for one in row.on.values() for step in one.seconds} - set(_STEP.values())
    for step in sorted(rest):
        cells = (f"<td>{_html_time(row, name, step, slow)}" for name in names)
        lines.append(f"<tr class=rest><th scope=row>{_safe(step)}{''.join(cells)}")
    return "".join(lines) + "</table></div>"


def _html_cell(row: _Row, name: str, check: str, slow: float) -> str:
    outcome = row.outcome(name, check)
    if outcome is None:
        return "<td>"
    kind, word = _WORDS[outcome.status]
    of = "" if kind == "ok" else f" class={kind}"
    time = _html_time(row, name, _STEP.get(check, ""), slow)
    return f"<td{of}>{word}{time}"


def _html_time(row: _Row, name: str, step: str, slow: float) -> str:
    """Return a time and its bar."""
    if name not in row.on or step not in row.on[name].seconds:
        return ""
    seconds = row.on[name].seconds[step]
    share = min(100, round(100 * seconds / slow)) if slow else 0
    bar = f"<i style=width:{share}%></i>" if share else ""
    return f" {_time(seconds)}{bar}"


def _html_whys(row: _Row) -> Iterator[str]:
    """Yield the reasons of this revision."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, one in row.on.items():
        for check, outcome in one.checks.items():
            if outcome.status in _REASONED and outcome.why:
                found.setdefault((outcome.why, check), []).append(name)
    for (why, check), names in found.items():
        yield f"<p><small>{_safe(check)} on {_safe(', '.join(names))}:</small> {_safe(why)}</p>"


def _html_sql(row: _Row, direction: str) -> Iterator[str]:
    """Yield the SQL of each server, equal texts once."""
    texts: dict[tuple[str, ...], list[str]] = {}
    for name, one in row.on.items():
        statements: list[str] = getattr(one, direction)
        texts.setdefault(tuple(statements), []).append(name)
    for given, names in texts.items():
        if not given:
            continue
        sql = "\n".join(statement.strip().rstrip(";") + ";" for statement in given)
        rest = len(sql) - _LONGEST_SQL
        cut = f"\n-- {rest} more letters: see --json" if rest > 0 else ""
        yield (
            f"<details><summary>{direction} <small>{_safe(', '.join(names))}, "
            f"{_count(len(given), 'statement')}</small></summary>"
            f"<pre>{_safe(sql[:_LONGEST_SQL] + cut)}</pre></details>"
        )


# The graph


@dataclasses.dataclass(frozen=True)
class _Edge:
    """A line in the graph, from a revision to one below it that it follows or depends on."""

    start: tuple[int, int]  # lane, row
    end: tuple[int, int]
    lane: int  # the one in which it goes down
    depends: bool


def _lay_out(revisions: Sequence[RevisionProof]) -> tuple[list[int], list[_Edge]]:
    """Return the lane of each revision, the newest first, and the lines between them."""
    row_of = {revision.id: row for row, revision in enumerate(revisions)}
    lanes: list[str | None] = []  # what is waited for in each
    waiting: dict[str, list[tuple[tuple[int, int], int, bool]]] = {}
    placed: list[int] = []
    edges: list[_Edge] = []
    for row, revision in enumerate(revisions):
        lane = _lane(lanes, revision.id)
        placed.append(lane)
        edges += [_Edge(s, (lane, row), via, d) for s, via, d in waiting.pop(revision.id, [])]
        lanes = [None if waited == revision.id else waited for waited in lanes]
        below = [(id_, False) for id_ in revision.parents]
        below += [(id_, True) for id_ in revision.depends if id_ not in revision.parents]
        for id_, depends in below:
            if row_of.get(id_, -1) > row:
                via = lane if lane < len(lanes) and lanes[lane] is None else _lane(lanes, id_)
                lanes += [None] * (via + 1 - len(lanes))
                lanes[via] = id_
                waiting.setdefault(id_, []).append(((lane, row), via, depends))
    return placed, edges


def _lane(lanes: list[str | None], id_: str) -> int:
    """Return the lane in which a revision is waited for, else a free one, else a new one."""
    for wanted in (id_, None):
        if wanted in lanes:
            return lanes.index(wanted)
    lanes.append(None)
    return len(lanes) - 1


def _html_graph(rows: list[_Row]) -> str:
    """Return the history as a drawing beside the list of its revisions."""
    if not rows:
        return ""
    rows = rows[::-1]
    placed, edges = _lay_out([row.any for row in rows])
    lanes = 1 + max([*placed, *(edge.lane for edge in edges)])
    step = max(6, min(_LANE, 200 // lanes))
    width = step * lanes + 8

    def point(lane: int, row: int) -> tuple[int, int]:
        return 8 + lane * step, row * _ROW + _ROW // 2

    drawn = [_svg_edge(edge, point) for edge in edges]
    drawn += [
        _svg_dot(*point(lane, number), row.statuses())
        for number, (lane, row) in enumerate(zip(placed, rows, strict=True))
    ]
    items = [
        f'<li><a href="{_link(row.any.id)}"><code>{_safe(row.any.id)}</code> '
        f"{_html_flag(row)}{_safe(_line(row.any.title))}</a>"
        for row in rows
    ]
    return (
        "<nav aria-labelledby=history><h2 id=history>History</h2>"
        f'<div class=graph style="--lanes:{width}px"><svg aria-hidden=true width={width} '
        f"height={_ROW * len(rows)}>{''.join(drawn)}</svg><ol reversed>\n"
        + "\n".join(items)
        + "\n</ol></div></nav>"
    )


def _html_flag(row: _Row) -> str:
    """Return the worst status, for the colour of a dot is not enough."""
    worst = row.shown()[0]
    return "" if worst == proof.PROVEN else _classed(worst, worst) + " "


def _svg_edge(edge: _Edge, point: Callable[[int, int], tuple[int, int]]) -> str:
    """Draw down the edge's lane, with a curve into it and one out of it."""
    (x, y), (end_x, end_y), (via, _) = point(*edge.start), point(*edge.end), point(edge.lane, 0)
    path = f"M{x} {y}"
    if via != x:
        path += f"C{x} {y + _ROW // 2} {via} {y + _ROW // 2} {via} {y + _ROW}"
    if via != end_x and end_y - y > _ROW:
        path += f"V{end_y - _ROW}"
    if via != end_x:
        middle = end_y - _ROW // 2
        path += f"C{via} {middle} {end_x} {middle} {end_x} {end_y}"
    else:
        path += f"V{end_y}"
    return f'<path d="{path}"{" class=depends" if edge.depends else ""} />'


def _svg_dot(x: int, y: int, statuses: set[str]) -> str:
    """Draw what can be told apart without its colour."""
    kind = _WORDS[next(status for status in _WORST if status in statuses)][0]
    if kind == "bad":
        return f"<rect class=bad x={x - 5} y={y - 5} width=10 height=10 />"
    return f"<circle class={kind} cx={x} cy={y} r={4 if kind == 'ok' else 5} />"
