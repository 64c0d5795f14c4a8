"""The report: what it says, and that nothing which it is given breaks it."""

import dataclasses
import json
import re
import unicodedata
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Finding, Outcome, Proof, Report, RevisionProof
from alembic_toolkit.report.machines import to_json
from alembic_toolkit.report.made import Made
from alembic_toolkit.report.page import html
from alembic_toolkit.report.text import text
from tests.toolkit import reports
from tests.toolkit.machines import validator

MAKERS = {
    "realistic": reports.realistic,
    "branched": reports.branched,
    "hostile": reports.hostile,
    "stopped": reports.stopped,
    "nothing": lambda: Report("alembic.ini", 0),
    "files alone": lambda: Report(
        "alembic.ini", 3, [Finding(results.GRAPH, "", "", "a.py", "two heads", (), "alembic merge")]
    ),
}
every_report = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def columns(line: str) -> int:
    """Count what a terminal fills, for the letters that these tests use."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


def without_code(shown: str) -> list[str]:
    """Leave out what is to be copied: it is not wrapped."""
    return re.sub(r"^   Write:\n(     .*\n|\n(?=     ))*", "", shown, flags=re.MULTILINE).split(
        "\n"
    )


# Text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@every_report
def test_text_fits_whatever_it_is_given(make, width) -> None:
    shown = text(make(), width)
    assert [line for line in without_code(shown) if columns(line) > width] == []
    assert [letter for letter in shown if not letter.isprintable() and letter != "\n"] == []


def test_text_sums_up_what_is_proven() -> None:
    shown = text(reports.linear(190), 80)
    assert "190 of 190 revisions: proven on sqlite, postgresql, mariadb\n" in shown
    assert "0001_" not in shown
    assert shown.splitlines()[-1] == "Proven: 190 revisions, 3 databases, 12.4 s"
    assert len(shown.splitlines()) < 12


def test_text_does_not_grow_with_what_is_proven() -> None:
    few, many = (text(reports.realistic(number), 100) for number in (190, 1000))
    assert len(few.splitlines()) == len(many.splitlines())


def test_text_lists_only_revisions_with_something_to_say() -> None:
    shown = text(reports.realistic(), 100)
    table = shown.split("\n\n")[1].splitlines()
    assert table[0].split() == ["files", "up", "down", "again", "rows", "re-run", "offline"]
    assert [line.split()[0][:4] for line in table[1:]] == [
        *("0012", "0044", "0060", "0087", "0103", "0187"),
        "0020",  # and eleven more that are the same
    ]
    assert table[6].endswith(".      . . .  . F F  . . .  . . .  . . .   . . .")
    assert "172 of 190 revisions: proven" in shown


def test_text_says_a_problem_of_several_databases_once() -> None:
    shown = text(reports.realistic(), 100)
    assert shown.count("the downgrade leaves an index behind") == 1
    assert "down leaves no trace (postgresql, mariadb): 0187_" in shown
    assert shown.count("+ index ix_bill_due on bill: (due)") == 1


def test_text_says_how_a_problem_differs_between_databases() -> None:
    shown = text(reports.realistic(), 100)
    assert "rows survive (sqlite, postgresql, mariadb): 0044_add_bills" in shown
    assert "   postgresql:\n     ~ column bill.note: text NOT NULL\n" in shown


def test_text_of_a_finding_ends_with_what_to_write() -> None:
    [finding] = [part for part in text(reports.realistic(), 100).split("\n\n") if "4. " in part]
    assert finding.endswith(
        '\n   Write:\n     op.drop_index("ix_bill_due", table_name="bill", if_exists=True)'
    )


def test_text_does_not_break_code() -> None:
    report = reports.linear(1, "sqlite")
    code = "op.execute(\n    'UPDATE " + "x" * 200 + "'\n)"
    reports.add(report, 1, results.DOWN, "wrong", remedy=code)
    assert "".join(f"     {line}\n" for line in code.splitlines()) in text(report, 60)


def test_text_gives_the_reasons_of_the_project() -> None:
    shown = text(reports.realistic(), 200)
    assert (
        "Known exceptions:\n  0060_add_bills (rows survive; mariadb)\n"
        "    MariaDB before 10.4 rounds TIME; ticket 311\n"
    ) in shown
    assert (
        "Declared irreversible:\n"
        "  0087_widen_the_amount (down leaves no trace, up again; sqlite, postgresql, mariadb)\n"
        "    the old amounts are thrown away\n"
    ) in shown
    assert "6 more (offline; sqlite)\n    batch_alter_table copies" in shown


def test_text_ends_with_notes_and_the_verdict() -> None:
    *_, notes, verdict = text(reports.realistic(), 100).strip().split("\n\n")
    assert "refuses every insert (postgresql, mariadb)" in notes
    assert verdict.replace("\n", " ") == (
        "4 findings, 1 known exception, 1 declared irreversible, 12 not wholly judged: "
        "190 revisions, 3 databases, 12.4 s"
    )


def warned() -> Report:
    """Return a report in which all is well, but for a warning."""
    report = reports.linear(3, "sqlite")
    lines = ("rows of notes: 6 before, 1 after", "PRAGMA foreign_keys = ON: nothing turns it on")
    problem = "upgrade() loses rows, only with PRAGMA foreign_keys = ON"
    warning = Finding(results.FOREIGN_KEYS, "sqlite", reports.name(2), "2.py", problem, lines, "do")
    report.proofs[0].warnings.append(warning)
    report.proofs[0].revisions[1].checks[results.ROWS] = Outcome(results.WARNED, problem)
    return report


def test_warning_is_shown_and_counted_apart() -> None:
    report = warned()
    assert report.status == 0
    shown = text(report, 100)
    assert "Warning 1. foreign keys (sqlite): 0002_" in shown
    assert "rows of notes: 6 before, 1 after" in shown
    assert shown.splitlines()[-1].startswith("Proven, 1 warning: 3 revisions")
    assert "w warning" in shown
    page = html(report)
    assert "<h2>Warnings</h2>" in page
    assert "<h2>Findings</h2>" not in page
    values = json.loads(to_json(report))
    assert values["warnings"][0]["check"] == "foreign keys"


def test_text_says_what_could_not_run_and_how_far_it_came() -> None:
    shown = text(reports.stopped(), 100)
    assert "25 of 40 revisions: proven on sqlite, postgresql; not reached on mariadb" in shown
    assert "Could not run on mariadb:\n  Can't connect" in shown
    assert shown.splitlines()[-1].startswith("Could not run on postgresql, mariadb: 40 rev")


def test_text_is_not_longer_than_one_reads_when_an_error_is() -> None:
    shown = text(reports.hostile(), 80)
    assert len(shown.splitlines()) < 100
    assert "more lines: see --html]" in shown


def test_text_has_colours_only_when_asked() -> None:
    report = reports.realistic()
    assert "\x1b" not in text(report, 80)
    painted = text(report, 80, colour=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == text(report, 80)
    assert "\x1b[31;1mF\x1b[0m" in painted


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("NO_COLOR", "1", False), ("TERM", "dumb", False), ("TERM", "xterm", True)],
)
def test_text_has_colours_on_a_terminal_that_wants_them(
    monkeypatch, variable, value, expected
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert ("\x1b" in text(reports.realistic(), 80)) is expected


def test_text_is_as_wide_as_the_terminal(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert text(reports.realistic()) == text(reports.realistic(), 50)


def test_text_lists_what_is_not_proven_where_columns_have_no_room() -> None:
    table = text(reports.realistic(), 40).split("\n\n")[1].splitlines()
    assert table[:4] == ["0012_add_bills", "  files F", "0044_add_bills", "  rows FFF"]


# JSON


def rebuild(values: dict[str, Any]) -> Report:
    """Make the report again from its JSON."""
    for extra in ("version", "command", "status", "verdict"):
        del values[extra]
    found = [rebuild_finding(one) for one in values["findings"]]
    warnings = [rebuild_finding(one) for one in values.pop("warnings")]
    values["findings"] = [one for one in found if not one.database]
    values["proofs"] = [Proof(**rebuild_checks(one)) for one in values["proofs"]]
    for one in values["proofs"]:
        one.findings = [finding for finding in found if finding.database == one.database]
        one.warnings = [warning for warning in warnings if warning.database == one.database]
        one.revisions = [
            RevisionProof(
                **rebuild_checks(revision)
                | {key: tuple(revision[key]) for key in ("parents", "depends")}
            )
            for revision in one.revisions
        ]
    return Report(**values)


def rebuild_finding(values: dict[str, Any]) -> Finding:
    return Finding(**values | {"details": tuple(values["details"])})


def rebuild_checks(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"checks": {key: Outcome(**one) for key, one in values["checks"].items()}}


@every_report
def test_json_holds_every_value(make) -> None:
    report = make()
    values = json.loads(to_json(report))
    assert values["version"] == 2
    assert [*validator().iter_errors(values)] == []
    assert values["status"] == report.status
    assert rebuild(values) == report


def test_json_is_ascii() -> None:
    assert to_json(reports.hostile()).isascii()


def test_json_has_the_keys_that_are_promised() -> None:
    values = json.loads(to_json(reports.realistic()))
    assert list(values) == [
        *("version", "command", "status", "findings", "verdict", "warnings", "config"),
        *("revisions", "proofs", "seconds", "question"),
    ]
    of_proof = [field.name for field in dataclasses.fields(Proof)]
    assert list(values["proofs"][0]) == [k for k in of_proof if k not in ("findings", "warnings")]
    assert values["verdict"] == text(reports.realistic(), 120).splitlines()[-1]


# HTML


class Page(HTMLParser):
    """What a browser would see of a page, as far as these tests want to know."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def values(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


@every_report
def test_html_needs_nothing_else(make) -> None:
    page = html(make())
    seen = Page(page)
    assert not seen.tags & {"img", "link", "iframe", "object", "embed", "base"}
    assert [href for href in seen.values("href") if not (href or "").startswith("#")] == []
    assert seen.values("src") == []
    assert not {key for key, _ in seen.attributes if key.startswith("on")}
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


@every_report
def test_html_can_be_written_as_utf_8(make) -> None:
    assert html(make()).encode("utf-8")


def test_html_lets_only_its_own_script_run() -> None:
    page = html(reports.hostile())
    assert page.count("<script") == 1
    assert re.search(r"default-src 'none';.* script-src 'sha256-[\w+/=]+'", page)
    assert "&lt;/script&gt;&lt;script&gt;" in page


def test_html_links_lead_to_sections() -> None:
    for make in (reports.realistic, reports.branched):
        seen = Page(html(make()))
        links = {href[1:] for href in seen.values("href") if href and "filter=" not in href}
        assert links <= set(seen.values("id"))
        assert len(links) > 80


def test_html_gives_a_revision_its_reasons() -> None:
    page = html(reports.realistic())
    [section] = re.findall(r'id="rev-0060_add_bills".*', page)
    assert "rows survive on mariadb:</small> MariaDB before 10.4 rounds TIME; ticket 311" in section
    assert "<td class=odd>known" in section


def test_html_says_equal_sql_of_several_databases_once() -> None:
    page = html(reports.linear(1))
    assert page.count("DROP TABLE bill_1;") == 1
    assert "downgrade <small>sqlite, postgresql, mariadb, 1 statement</small>" in page
    assert "upgrade <small>postgresql, 2 statements</small>" in page


def test_html_says_when_of_which_commit_and_with_which_versions_it_was_made() -> None:
    made = Made("2026-11-30 09:15 UTC", "1a2b3c4d5e", "Alembic 1.18.4, <b>")
    said = "2026-11-30 09:15 UTC, commit 1a2b3c4d5e; Alembic 1.18.4, &lt;b&gt;"
    assert said in html(reports.linear(1), made)
    without = dataclasses.replace(made, commit="")
    assert "2026-11-30 09:15 UTC; Alembic" in html(reports.linear(1), without)
    assert "class=made" not in html(reports.linear(1))


def test_html_hides_what_only_looks() -> None:
    report = reports.linear(1, "sqlite")
    [[_, one]] = reports.each(report, 1)
    one.upgrade = [
        "BEGIN IMMEDIATE",
        "SELECT name FROM sqlite_master",
        "CREATE TEMPORARY TABLE _alembic_scratch (a INTEGER)",
        "CREATE TABLE IF NOT EXISTS t (a INTEGER)",
        "SELECT setval('s', 3)",
        "UPDATE t SET a = 1",
        "PRAGMA foreign_key_check",
    ]
    [section] = re.findall(r"<details><summary>upgrade.*?</details></details>", html(report), re.S)
    acting, _, all_ = section.partition("<details class=looks>")
    assert "upgrade <small>sqlite, 3 statements</small>" in acting
    assert acting.count(";\n") + 1 == 3
    for sql in ("CREATE TABLE IF NOT EXISTS t", "SELECT setval", "UPDATE t"):
        assert sql in acting
    assert "with 4 more that only look" in all_
    assert all(escape(sql) in all_ for sql in one.upgrade)


def test_html_breaks_a_long_query_into_lines() -> None:
    report = reports.linear(1)
    columns = ", ".join(f"a_long_name_{n}" for n in range(20))
    for _, one in reports.each(report, 1):
        one.upgrade = [f"INSERT INTO t SELECT {columns} FROM other", "UPDATE t SET a =  b"]
    page = html(report)
    assert "a_long_name_1,\n" in page
    assert "UPDATE t SET a =  b;" in page


def test_html_cuts_an_sql_text_that_is_too_long_to_read() -> None:
    report = reports.linear(1)
    for _, one in reports.each(report, 1):
        one.upgrade = ["INSERT INTO t VALUES ('" + "x" * 1_000_000 + "')"]
    page = html(report)
    assert len(page) < 60_000
    assert "980026 more letters: see --json" in page


def test_html_of_a_thousand_revisions_is_below_three_megabytes() -> None:
    assert len(html(reports.realistic(1000)).encode()) < 3_000_000


def test_html_draws_every_line_of_the_history() -> None:
    report = reports.branched(5, 3)
    page = html(report)
    revisions = report.proofs[0].revisions
    assert page.count("<circle") == len(revisions) == 18
    assert page.count('<path d="M') == sum(len(r.parents) + len(r.depends) for r in revisions)
    assert page.count("class=depends") == 1


def test_html_draws_a_line_of_revisions_in_one_lane() -> None:
    page = html(reports.linear(50))
    assert set(re.findall(r"<circle class=ok cx=(\d+)", page)) == {"8"}
    assert not re.search(r'<path d="[^"]*C', page)


def test_html_draws_what_it_knows_of_a_history_that_is_not_whole() -> None:
    report = reports.linear(3)
    for one, revision in reports.each(report, 2):
        revision.parents = ("gone", one.revisions[2].id)  # the second is above it
    assert html(report).count("<path d=") == 1
