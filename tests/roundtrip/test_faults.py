"""Every fault is found on every server where it shows, as what it is; what looks odd is not."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import alembic.op
import pytest

from alembic_toolkit.database import address
from alembic_toolkit.project.env import Project
from alembic_toolkit.prove import results
from alembic_toolkit.prove.prover import prove
from alembic_toolkit.prove.results import Finding, Proof
from alembic_toolkit.prove.roundtrip import read_files
from alembic_toolkit.prove.scratch import empty, opened
from alembic_toolkit.prove.settings import Settings
from tests import databases
from tests.roundtrip import faults, odd
from tests.roundtrip.faults import SERVERS, Case, revision

INI = (
    "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\npath_separator = os\n"
)
ENV = """\
import sqlalchemy as sa
from alembic import context

metadata = None
{metadata}
connection = context.config.attributes.get("connection")
if context.is_offline_mode():
    context.configure(url=context.config.get_main_option("sqlalchemy.url"))
else:
    context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
"""


def write(case: Case, directory: Path) -> Path:
    """Write the files of a history; return its alembic.ini."""
    versions = directory / "migrations" / "versions"
    versions.mkdir(parents=True)
    (directory / "alembic.ini").write_text(INI)
    (directory / "migrations" / "env.py").write_text(ENV.replace("{metadata}", case.env))
    files = {"0001.py": revision("0001", None, *case.first)}
    if (case.up, case.down) != ("pass", "pass"):
        files["0002.py"] = revision("0002", "0001", case.up, case.down, case.head)
    for name, text in {**files, **case.files}.items():
        path = Path(os.path.normpath(versions / name))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory / "alembic.ini"


def settings(case: Case, server: str = "") -> Settings:
    made = Settings()
    made.ask(case.asked)
    if server in SERVERS and case.check not in ("", results.UP, results.BASE):
        made.checks -= {results.BASE}  # the walk to base and back is seen on SQLite, which is fast
    return made


def proven(case: Case, ini: Path, server: str) -> tuple[list[Finding], Proof]:
    """Prove a history on a scratch database, in this process."""
    database = _database(server)
    given = opened(address.parse_known(database.url))
    found = Proof(server, address.shown(given.url))
    wanted = settings(case, server)
    left = getattr(alembic.op, "_proxy", None)
    if left is not None:  # by a failure in this process: Alembic takes it away after a success
        left._remove_proxy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of SQLAlchemy, about what it reflects
            prove(Project.load(ini), given, wanted, found, lambda *_: None)
    finally:
        empty(given)
        given.engine.dispose()
    return found.findings, found


_databases: dict[str, databases.Database] = {}


def _database(server: str) -> databases.Database:
    if server not in _databases:
        _databases[server] = databases.new_database(server)
    return _databases[server]


@pytest.fixture(scope="module", autouse=True)
def scratch_databases() -> Iterator[None]:
    yield
    for database in _databases.values():
        database.close()
    _databases.clear()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Forget what revisions import, and where from."""
    path, modules = [*sys.path], {*sys.modules}
    import sqlalchemy as sa

    names = {*vars(sa)}
    yield
    sys.path[:] = path
    for name in {*sys.modules} - modules:
        if name.startswith("shop_"):
            del sys.modules[name]
    for name in {"times", "was_here"} - names:
        if hasattr(sa, name):
            delattr(sa, name)


def text_of(finding: Finding) -> str:
    return "\n".join([finding.problem, *finding.details, finding.remedy])


def shown(findings: list[Finding]) -> str:
    return "\n\n".join(f"{f.check} {f.revision}: {text_of(f)}" for f in findings)


def on_each(cases: list[Case], which: str) -> list[object]:
    """Return each case on each server: on the first in any session, on the others in long ones."""
    return [
        pytest.param(case, server, id=f"{case.name}-{server}", marks=[pytest.mark.long] * bool(at))
        for case in cases
        for at, server in enumerate(getattr(case, which))
    ]


OF_FILES = (results.GRAPH, results.SELF_CONTAINED)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, id=c.name) for c in faults.CASES if c.check in OF_FILES],
)
def test_fault_of_the_files_is_found(case: Case, tmp_path: Path) -> None:
    report = read_files(write(case, tmp_path), settings(case))
    [finding] = report.findings
    assert (finding.check, finding.revision) == (case.check, case.revision), shown([finding])
    for part in case.says:
        assert re.search(part.replace("(", r"\("), text_of(finding)), shown([finding])


@pytest.mark.parametrize(
    ("case", "server"), on_each([c for c in faults.CASES if c.check not in OF_FILES], "on")
)
def test_fault_is_found(case: Case, server: str, tmp_path: Path) -> None:
    ini = write(case, tmp_path)
    assert read_files(ini, settings(case)).findings == []
    findings, found = proven(case, ini, server)
    assert {*found.checks} == {*results.OF_DATABASE} & settings(case, server).checks
    assert findings, "nothing was found"
    # One check may find the same in both directions.
    assert len({(f.check, f.problem) for f in findings}) == len(findings), shown(findings)
    assert {(f.check, f.revision) for f in findings} == {(case.check, case.revision)}, shown(
        findings
    )
    assert all(finding.remedy for finding in findings)
    text = "\n".join(map(text_of, findings))
    for part in case.says:
        pattern = "|".join(re.escape(one) for one in part.split("|"))
        assert re.search(pattern, text), f"{part!r} is not in:\n{shown(findings)}"


@pytest.mark.long
@pytest.mark.parametrize(("case", "server"), on_each(faults.CASES, "silent"))
def test_fault_of_another_server_is_not_found(case: Case, server: str, tmp_path: Path) -> None:
    findings, found = proven(case, write(case, tmp_path), server)
    assert not findings, shown(findings)
    assert found.revisions[-1].checks[case.check].status == results.PROVEN


@pytest.mark.parametrize(("case", "server"), on_each(odd.CASES, "on"))
def test_what_looks_odd_is_no_fault(case: Case, server: str, tmp_path: Path) -> None:
    ini = write(case, tmp_path)
    findings = read_files(ini, settings(case)).findings
    assert not findings, shown(findings)
    findings, found = proven(case, ini, server)
    assert not findings, shown(findings)
    outcomes = {
        outcome.status
        for checks in [found.checks, *(r.checks for r in found.revisions)]
        for outcome in checks.values()
    }
    assert results.NOT_REACHED not in outcomes


def test_extension_that_the_server_lacks_is_no_fault(tmp_path: Path) -> None:
    above = {"0003.py": revision("0003", "0002")}
    case = Case("", 'op.execute("CREATE EXTENSION nowhere_to_be_had")', files=above)
    findings, found = proven(case, write(case, tmp_path), "postgresql")
    assert not findings, shown(findings)
    assert "nowhere_to_be_had" in found.error
    first, second, third = (one.checks[results.UP] for one in found.revisions)
    assert first.status == results.PROVEN
    assert second.status == results.NOT_JUDGED
    assert "nowhere_to_be_had" in second.why
    assert third.status == results.NOT_REACHED
