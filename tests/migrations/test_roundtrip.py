"""The round trip of the example's history: each revision and each check, on each server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from alembic_toolkit.prove import results, settings
from alembic_toolkit.prove.results import Finding, Outcome, Proof
from alembic_toolkit.prove.roundtrip import roundtrip
from tests import databases

from .conftest import REVISIONS, ROOT
from .orders import ORDERS
from .waits import WAITS

# Below it, there is no place for what its column held.
DECLARED = {("0004", results.ROWS)}
# A script cannot ask what is there: these revisions do, and on SQLite every verb has to.
ASKING = {"0007", "0010"}


@pytest.fixture(scope="session")
def proofs(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Proof]]:
    """Return what proves the history on a server, once: on all that are asked for, in parallel."""
    items = [one for one in request.session.items if "proofs" in getattr(one, "fixturenames", ())]
    asked = {
        str(one.callspec.params["server"]) for one in items if isinstance(one, pytest.Function)
    }
    with ExitStack() as stack:

        @cache
        def proven() -> dict[str, Proof]:
            urls = {}
            for name in sorted(asked):
                try:
                    database = databases.new_database(name)
                except pytest.skip.Exception:
                    continue
                stack.callback(database.close)
                urls[name] = database.url
            wanted = settings.read(ROOT / "alembic.ini")
            wanted.urls = [*urls.values()]
            wanted.ask(settings.ASKED)
            report = roundtrip(ROOT / "alembic.ini", wanted)
            assert report.findings == []
            return dict(zip(urls, report.proofs, strict=True))

        def on(name: str) -> Proof:
            if name not in proven():
                databases.new_database(name).close()  # skips, and says why
            return proven()[name]

        yield on


@pytest.mark.parametrize("server", databases.NAMES)
@pytest.mark.parametrize("check", results.OF_REVISION)
@pytest.mark.parametrize("revision", REVISIONS)
def test_revision_is_proven(
    proofs: Callable[[str], Proof], revision: str, check: str, server: str
) -> None:
    found = proofs(server)
    assert found.error == ""
    [record] = [record for record in found.revisions if record.id == revision]
    outcome = record.checks[check]
    if check == results.LOCKS:
        there = [(finding.line, finding.problem) for finding in said(found, revision, check)]
        expected = WAITS[server].get(revision, [])
        assert there == [(line, f"line {line}: {problem}") for line, problem in expected]
        assert outcome.status == (results.FAULTY if expected else results.PROVEN)
    elif check == results.OLD_CODE:
        assert record.order is not None
        expected_order = ORDERS[revision].get(server, ORDERS[revision][""])
        assert record.order.verdict == expected_order, record.order.breaks
        is_found = expected_order == results.NEITHER
        assert outcome.status == (results.FAULTY if is_found else results.PROVEN)
    elif (revision, check) in DECLARED:
        assert outcome.status == results.DECLARED
    elif check == results.OFFLINE and (revision in ASKING or server == "sqlite"):
        assert outcome.status in (results.NOT_JUDGED, results.PROVEN), said(found, revision, check)
    else:
        assert outcome == Outcome(results.PROVEN), said(found, revision, check)


def said(found: Proof, revision: str, check: str) -> list[Finding]:
    return [f for f in found.findings if (f.revision, f.check) == (revision, check)]


@pytest.mark.parametrize("server", databases.NAMES)
@pytest.mark.parametrize("check", results.OF_DATABASE)
def test_head_equals_the_models_and_nothing_is_left_at_base(
    proofs: Callable[[str], Proof], check: str, server: str
) -> None:
    found = proofs(server)
    assert found.checks[check].status == results.PROVEN, said(found, "", check)


@pytest.mark.parametrize("server", databases.NAMES)
def test_every_table_had_rows(proofs: Callable[[str], Proof], server: str) -> None:
    assert proofs(server).notes == []
