"""What a revision does on one server alone is judged by all the servers that were asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Outcome
from alembic_toolkit.prove.roundtrip import roundtrip
from alembic_toolkit.prove.settings import Settings
from tests import databases
from tests.roundtrip.faults import MARIADB, POSTGRESQL, SQLITE, Case
from tests.roundtrip.test_faults import proven, write

FOR_ONE = Case(
    "",
    'if op.get_bind().dialect.name == "postgresql":\n    op.execute("CREATE SEQUENCE s")',
    'if op.get_bind().dialect.name == "postgresql":\n    op.execute("DROP SEQUENCE s")',
)


def test_revision_for_another_server_is_not_judged_when_that_was_not_asked(tmp_path: Path) -> None:
    findings, found = proven(FOR_ONE, write(FOR_ONE, tmp_path), SQLITE)
    assert findings == []
    up = found.revisions[1].checks[results.UP]
    assert up.status == results.NOT_JUDGED
    assert up.why == "upgrade() changes nothing on sqlite; another server has to be asked"
    assert found.revisions[1].checks[results.DOWN].status == results.PROVEN


@pytest.mark.databases("postgresql")
def test_revision_for_one_server_is_proven_on_the_other_when_both_were_asked(
    tmp_path: Path, database: databases.Database
) -> None:
    wanted = Settings(urls=[database.url, "sqlite://"])
    on_postgresql, on_sqlite = roundtrip(write(FOR_ONE, tmp_path), wanted).proofs
    assert on_postgresql.findings == on_sqlite.findings == []
    assert on_postgresql.revisions[1].checks[results.UP] == Outcome(results.PROVEN)
    why = "it has nothing to do here, and does its work on postgresql"
    assert on_sqlite.revisions[1].checks[results.UP] == Outcome(results.PROVEN, why)


@pytest.mark.databases("postgresql")
def test_revision_that_does_nothing_on_any_server_is_a_finding_on_each(
    tmp_path: Path, database: databases.Database
) -> None:
    case = Case("", "op.get_bind()", "op.get_bind()")
    wanted = Settings(urls=[database.url, "sqlite://"])
    report = roundtrip(write(case, tmp_path), wanted)
    assert {f.database for f in report.all_findings()} == {POSTGRESQL, SQLITE}
    assert {f.problem for f in report.all_findings()} == {"upgrade() changes nothing"}


FOR_ALL = pytest.mark.parametrize("server", [SQLITE, POSTGRESQL, MARIADB])


@FOR_ALL
def test_batch_that_alters_nothing_changes_nothing(tmp_path: Path, server: str) -> None:
    batch = 'with op.batch_alter_table("users") as batch:\n'
    batch += '    batch.alter_column("email", existing_type=sa.String(80))'
    case = Case("", batch, "op.get_bind()")
    findings, _ = proven(case, write(case, tmp_path), server)
    assert [f.problem for f in findings] == ["upgrade() changes nothing"]


@FOR_ALL
def test_what_a_downgrade_drops_in_vain_is_named_where_something_is_left(
    tmp_path: Path, server: str
) -> None:
    case = Case(
        "",
        'helpers.add_column("users", sa.Column("phone", sa.String(20)))',
        'helpers.drop_column("users", "phon")',
        head="import alembic_helpers as helpers",
    )
    [finding], _ = proven(case, write(case, tmp_path), server)
    assert any("did you mean phone?" in line for line in finding.details)


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("ALTER TABLE users DROP COLUMN IF EXISTS emial", "email"),
        ("ALTER TABLE bills DROP CONSTRAINT IF EXISTS ck_bills_amuont", "ck_bills_amount"),
    ],
)
def test_what_a_guarded_statement_means_is_asked(tmp_path: Path, sql: str, name: str) -> None:
    case = Case("", f'op.execute("{sql}")', "op.get_bind()")
    [finding], _ = proven(case, write(case, tmp_path), POSTGRESQL)
    assert finding.problem == "upgrade() changes nothing"
    assert finding.details == (f"{sql}; did you mean {name}?",)


@pytest.mark.parametrize(
    ("server", "sql"),
    [
        (SQLITE, "PRAGMA user_version = 7"),
        (SQLITE, "PRAGMA application_id = 7"),
        (POSTGRESQL, "CREATE EXTENSION IF NOT EXISTS plpgsql"),
        (POSTGRESQL, "CREATE SCHEMA IF NOT EXISTS public"),
    ],
)
def test_what_no_snapshot_shows_is_something(tmp_path: Path, server: str, sql: str) -> None:
    case = Case("", f'op.execute("{sql}")', "op.get_bind()")
    assert proven(case, write(case, tmp_path), server)[0] == []


def test_pragma_of_the_session_is_nothing(tmp_path: Path) -> None:
    case = Case("", 'op.execute("PRAGMA foreign_keys = OFF")', "op.get_bind()")
    [finding], _ = proven(case, write(case, tmp_path), SQLITE)
    assert finding.problem == "upgrade() changes nothing"


def test_table_that_is_meant_is_named(tmp_path: Path) -> None:
    head = "import alembic_helpers as helpers"
    case = Case("", 'helpers.drop_column("uesrs", "email")', "op.get_bind()", head=head)
    [finding], _ = proven(case, write(case, tmp_path), SQLITE)
    assert finding.details == (
        "drop_column('uesrs', 'email'): table uesrs is not there; did you mean users?",
    )


@pytest.mark.parametrize(
    ("up", "remedy"),
    [
        ("op.drop_colum('users', 'email')", "what Python can run: this fails in any database"),
        (
            "helpers.rename_table('uesrs', 'people')",
            "helpers.create_table('people', ...)  # or see where the database stands: "
            "alembic current",
        ),
    ],
)
def test_advice_is_true_for_the_error(tmp_path: Path, up: str, remedy: str) -> None:
    case = Case("", up, "op.get_bind()", head="import alembic_helpers as helpers")
    [finding], _ = proven(case, write(case, tmp_path), SQLITE)
    assert finding.remedy == remedy
    assert not any("What to do next" in line for line in finding.details)
