"""Who waits for a revision is seen on each server: what has others wait, and its safe twin."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Finding, Proof
from alembic_toolkit.prove.settings import Settings
from tests.databases import Database
from tests.roundtrip import locking, test_faults
from tests.roundtrip.faults import Case as History
from tests.roundtrip.faults import revision
from tests.roundtrip.locking import (
    CASES,
    CONCURRENTLY,
    FIRST,
    HELD,
    POSTGRESQL,
    READY,
    UNSEEN,
    Case,
)
from tests.roundtrip.locking_rows import MORE, MORE_UNSEEN, NOT_PASTED, PASTED
from tests.roundtrip.test_faults import as_before, scratch_databases, shown, text_of

__all__ = ["as_before", "scratch_databases"]


def locked(
    ups: tuple[str, ...],
    server: str,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str = "",
) -> tuple[list[Finding], Proof]:
    """Judge the last of some revisions."""
    files = {
        f"{number:04}.py": revision(f"{number:04}", f"{number - 1:04}", up)
        for number, up in enumerate(ups, 2)
    }
    history = History("", first=(FIRST + first, "pass"), files=files)
    wanted = Settings(checks=frozenset({results.UP, results.LOCKS}), downgrades=False)
    monkeypatch.setattr(test_faults, "settings", lambda *_: wanted)
    _, found = test_faults.proven(history, test_faults.write(history, directory), server)
    assert not found.error
    last = found.revisions[-1]
    assert last.checks[results.UP].status == results.PROVEN, shown(found.findings)
    return [f for f in found.findings if (f.check, f.revision) == (results.LOCKS, last.id)], found


def waits(findings: list[Finding], found: Proof) -> set[tuple[str, str, str]]:
    """Return who waits, for which table and how long, as the findings say."""
    there = {
        (one.table, one.who, one.how)
        for one in found.revisions[-1].locks
        if one.who in (results.WRITERS, results.EVERYBODY) and one.how != results.MOMENT
    }
    held = [re.search(r"holds (\S+) while .*: (who|everybody)", f.problem) for f in findings]
    who = {"who": results.WRITERS, "everybody": results.EVERYBODY}
    return there | {(one[1], who[one[2]], HELD) for one in held if one}


def is_online(server: str) -> bool:
    """Return whether a server copies a table while others write: MariaDB from 11.2 on."""
    with test_faults._database(server).engine.connect() as connection:
        dialect: Any = connection.dialect
        is_mariadb = getattr(dialect, "is_mariadb", False)
        return is_mariadb and dialect.server_version_info >= (11, 2)


@pytest.mark.parametrize(
    ("case", "server"),
    [pytest.param(c, server, id=f"{c}-{server}") for c in [*CASES, *MORE] for server in c.servers],
)
def test_who_waits_is_seen(
    case: Case, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, found = locked(case.ups, server, tmp_path, monkeypatch)
    expected = case.servers[server]
    if is_online(server) and not case.cascades:
        expected = {one for one in expected if one[2] != results.COPIED}
    assert waits(findings, found) == expected, shown(findings)
    assert bool(findings) == bool(expected), shown(findings)
    assert all(finding.remedy for finding in findings)
    outcome = found.revisions[-1].checks[results.LOCKS]
    assert outcome.status == (results.FAULTY if findings else results.PROVEN), outcome.why
    text = "\n".join(map(text_of, findings))
    for part in case.says if findings else ():
        pattern = "|".join(re.escape(one) for one in part.split("|"))
        assert re.search(pattern, text), f"{part!r} is not in:\n{shown(findings)}"
    if case.line and findings:
        source = (tmp_path / findings[0].path).read_text().splitlines()
        body = source.index("def upgrade():") + 1
        assert findings[0].line == body + case.line


REVISIONS = re.compile(r"^# (?:a revision of its own, after this one|and one more):$", re.M)


@pytest.mark.parametrize(("server", "sql"), PASTED)
def test_advice_runs_as_it_is_printed_and_nobody_waits(
    server: str, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, _ = locked((locking.sql(sql),), server, tmp_path / "before", monkeypatch)
    remedies = "\n".join(finding.remedy for finding in findings)
    bodies = [one.strip() for one in REVISIONS.split(remedies)]
    ups = tuple(f"{locking.VERBS}{one}" for one in bodies if "helpers." in one)
    assert ups, shown(findings)
    _, found = locked(ups, server, tmp_path / "after", monkeypatch)
    wrong = [one for one in found.findings if one.check == results.LOCKS]
    assert not wrong, shown(wrong)
    for one in found.revisions[1:]:
        assert one.checks[results.UP].status == results.PROVEN, shown(found.findings)


@pytest.mark.parametrize(("server", "sql"), NOT_PASTED)
def test_advice_is_a_comment_where_code_could_be_wrong(
    server: str, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [finding] = locked((locking.sql(sql),), server, tmp_path, monkeypatch)[0]
    assert "{...}" in finding.remedy


@pytest.mark.parametrize("verb", CONCURRENTLY)
def test_verbs_have_nobody_wait_concurrently(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = f"{locking.VERBS}{CONCURRENTLY[verb]}"
    findings, found = locked((READY, up), POSTGRESQL, tmp_path, monkeypatch)
    assert not findings, shown(findings)
    assert found.revisions[-1].checks[results.LOCKS].status == results.PROVEN
    assert found.revisions[-1].locks, "nothing was seen"


@pytest.mark.parametrize(
    ("server", "name", "up", "why"),
    [pytest.param(*one, id=f"{one[1]}-{one[0]}") for one in [*UNSEEN, *MORE_UNSEEN]],
)
def test_what_cannot_be_seen_is_not_judged(
    server: str, name: str, up: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ""
    if "parted" in up:
        first = locking.sql(
            "CREATE TABLE parted (id int, n int) PARTITION BY RANGE (id)",
            "CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000)",
        )
    if "CALL widen" in up:
        first = locking.sql("CREATE PROCEDURE widen() ALTER TABLE bills MODIFY days BIGINT")
    findings, found = locked((up,), server, tmp_path, monkeypatch, first)
    assert not findings, shown(findings)
    outcome = found.revisions[-1].checks[results.LOCKS]
    assert outcome.status == results.NOT_JUDGED
    assert why in outcome.why


# A join locks rows at any isolation level, a query within a statement at none below this.
LEVELS = {
    "INSERT INTO payments (bill_id) SELECT id FROM bills": "READ COMMITTED",
    "UPDATE payments SET bill_id = (SELECT MAX(id) FROM bills)": "READ COMMITTED",
    "UPDATE payments JOIN bills ON bills.id = payments.bill_id SET payments.bill_id = 1": "",
    "DELETE payments FROM payments JOIN bills ON bills.id = payments.bill_id": "",
}


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize("sql", LEVELS)
def test_server_locks_the_rows_that_are_read_to_write_others(sql: str, database: Database) -> None:
    for level in ("REPEATABLE READ", "READ COMMITTED"):
        is_free = LEVELS[sql] == level
        with (
            database.engine.connect().execution_options(isolation_level=level) as one,
            database.engine.connect() as other,
        ):
            for name in ("bills", "payments"):
                columns = "(id INT AUTO_INCREMENT PRIMARY KEY, bill_id INT)"
                one.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {name} {columns}")
                one.exec_driver_sql(f"INSERT INTO {name} (bill_id) VALUES (1)")
            one.commit()
            one.exec_driver_sql(sql)
            other.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
            with nullcontext() if is_free else pytest.raises(OperationalError, match="1205"):
                other.exec_driver_sql("UPDATE bills SET bill_id = 2 WHERE id = 1")
