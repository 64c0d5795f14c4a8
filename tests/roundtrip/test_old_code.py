"""Whose code a revision breaks is seen on each server, and with it the order of deployment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Finding, Proof
from alembic_toolkit.prove.settings import Settings
from tests.roundtrip import test_faults
from tests.roundtrip.faults import Case as History
from tests.roundtrip.faults import revision
from tests.roundtrip.orders import FIRST, KINDS, OTHERS, Case
from tests.roundtrip.test_faults import as_before, scratch_databases, shown, write

__all__ = ["as_before", "scratch_databases"]


def ordered(
    case: Case,
    server: str,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    downgrades: bool = True,
) -> tuple[list[Finding], Proof]:
    """Judge the last revision of a history."""
    number = 3 if case.first else 2
    files = {"0002.py": revision("0002", "0001", case.first)} if case.first else {}
    last = revision(f"{number:04}", f"{number - 1:04}", case.up, case.down, case.head)
    files[f"{number:04}.py"] = last
    history = History("", first=(FIRST, "pass"), files=files)
    checks = frozenset({results.UP, results.DOWN, results.UP_AGAIN, results.OLD_CODE})
    wanted = Settings(checks=checks, downgrades=downgrades, only=frozenset({f"{number:04}"}))
    monkeypatch.chdir(directory)  # nothing there has SQLite enforce foreign keys
    monkeypatch.setattr(test_faults, "settings", lambda *_: wanted)
    _, found = test_faults.proven(history, write(history, directory), server)
    assert not found.error
    return [f for f in found.findings if f.check == results.OLD_CODE], found


def heavy(case: Case, server: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test: MySQL says of most what MariaDB does."""
    return [pytest.mark.long] if case in OTHERS and server == "mysql" else []


@pytest.mark.parametrize(
    ("case", "server"),
    [
        pytest.param(case, server, id=f"{case}-{server}", marks=heavy(case, server))
        for case in KINDS + OTHERS
        for server in case.on
    ],
)
def test_order_of_deployment_is_seen(
    case: Case, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, found = ordered(case, server, tmp_path, monkeypatch)
    record = found.revisions[-1]
    order, text = record.order, shown(found.findings)
    assert order is not None, record.checks
    said = "\n".join(f"{b.code} {b.table}: {b.statement}: {b.error}" for b in order.breaks)
    assert order.verdict == case.on[server], f"{said}\n{text}"
    assert bool(findings) == (order.verdict == results.NEITHER)
    for part in case.says if order.breaks else ():
        assert re.search(part, said), said


@pytest.mark.parametrize(
    ("case", "server"),
    [
        pytest.param(case, server, id=f"{case}-{server}")
        for case in KINDS[:4] + KINDS[6:7]
        for server in case.on
    ],
)
def test_order_is_seen_without_a_downgrade(
    case: Case, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found = ordered(case, server, tmp_path, monkeypatch, downgrades=False)
    order = found.revisions[-1].order
    assert order is not None, found.revisions[-1].checks
    assert order.verdict == case.on[server], order.breaks


NULLABLE, DROPPED, RENAMED = KINDS[0], KINDS[3], KINDS[4]


@pytest.mark.parametrize(
    ("case", "said", "says"),
    [
        (NULLABLE, "after", ""),
        (NULLABLE, "before", 'deploy = "after"'),
        (DROPPED, "before", ""),
        (DROPPED, "after", 'deploy = "before"'),
        (RENAMED, "after", "two revisions"),
        (NULLABLE, "never", '"before" or "after"'),
    ],
    ids=lambda one: str(one),
)
def test_declared_order_is_checked(
    case: Case, said: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = replace(case, head=f'deploy = "{said}"')
    findings, found = ordered(given, "sqlite", tmp_path, monkeypatch)
    assert bool(findings) == bool(says)
    for finding in findings:
        assert says in f"{finding.problem}\n{finding.remedy}"
        source = (tmp_path / finding.path).read_text().splitlines()
        assert source[finding.line - 1].startswith("deploy = ")
        assert finding.details, "no statement"
    assert found.revisions[-1].order is not None


def test_nothing_is_left_of_what_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for server in ("sqlite", "postgresql"):
        (tmp_path / server).mkdir()
        _, found = ordered(NULLABLE, server, tmp_path / server, monkeypatch)
        outcomes = found.revisions[-1].checks
        assert {outcome.status for outcome in outcomes.values()} == {results.PROVEN}, outcomes
