"""A round trip that looks only at what a step touched finds what one finds that looks at all."""

from pathlib import Path

import pytest

from alembic_toolkit.database.address import parse_known
from alembic_toolkit.project.env import Project
from alembic_toolkit.prove.prover import Prover
from alembic_toolkit.prove.recorder import recorder
from alembic_toolkit.prove.results import DOWN, RERUN, Proof
from alembic_toolkit.prove.scratch import empty, opened
from alembic_toolkit.prove.settings import ALWAYS, Settings
from alembic_toolkit.prove.statements import KEEPS, SPARES_OTHERS
from tests.bench import history
from tests.bench.roundtrip import ENV
from tests.databases import Database

REVISIONS = 40
AGAIN = """
def upgrade():
    op.create_table("t0", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)


def downgrade():
    op.drop_table("t0", if_exists=True)
"""
NOTHING = "def downgrade():\n    pass\n"
MADE = """
def upgrade():
    columns = [sa.Column(name, sa.Integer) for name in ("b", "c")]
    op.create_table("t", sa.Column("a", sa.Integer, primary_key=True), *columns)


def downgrade():
    op.drop_table("t")
"""
MOVED = """
def upgrade():
    op.add_column("t", sa.Column("d", sa.Integer))
    op.execute("UPDATE t SET d = b")
    op.drop_column("t", "b")
    op.execute("ALTER TABLE t RENAME COLUMN d TO b")


downgrade = upgrade
"""
PROGRAMMED = """
def upgrade():
    op.execute("CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 7 WHERE a = new.a; END")
    op.add_column("t", sa.Column("d", sa.Integer, server_default="0"))


def downgrade():
    op.drop_column("t", "d")
    op.execute("DROP TRIGGER tr")
"""
FAULTY = ("0012", "0025", "0033")  # whose downgrade does nothing


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = history.write(tmp_path, REVISIONS)["plain"]
    env = ENV.replace("from models import metadata\n", "").replace("=metadata", "=None")
    (made / "env.py").write_text(env)
    for revision in FAULTY:
        path = made / "versions" / f"{revision}.py"
        path.write_text(path.read_text().partition("def downgrade")[0] + NOTHING)
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {made}\n")
    return Project.load(tmp_path / "alembic.ini")


def proven(
    project: Project, database: Database, whole: bool = False, checks: frozenset[str] = ALWAYS
) -> tuple[Proof, Prover]:
    found, wanted = Proof(database.name, ""), Settings(checks=checks)
    scratch = opened(parse_known(database.url))
    with recorder(scratch) as listening:
        prover = Prover(project, scratch, wanted, listening, found, lambda *_: None, whole=whole)
        prover.run()
    empty(scratch)
    for record in found.revisions:
        record.seconds = {}
        # A batch makes indexes in the order of a set.
        record.upgrade.sort()
        record.downgrade.sort()
    return found, prover


def test_proof_is_the_same_when_only_what_was_touched_is_looked_at(
    project: Project, database: Database
) -> None:
    whole, all_of_it = proven(project, database, whole=True)
    found, touched = proven(project, database, whole=False)
    assert not touched.misled
    assert found == whole
    assert {f.revision for f in found.findings if f.check == DOWN} >= {*FAULTY[1:]}
    assert touched.known.snap == all_of_it.known.snap


def rewritten(project: Project, *bodies: str) -> Project:
    """Give the first revisions these functions, and have no others."""
    paths = sorted(Path(project.directory.dir, "versions").glob("*.py"))
    for path in paths[len(bodies) :]:
        path.unlink()
    for path, body in zip(paths, bodies, strict=False):
        path.write_text(path.read_text().partition("def upgrade")[0] + body)
    return Project.load(project.path)


def test_another_order_of_columns_is_not_taken_for_a_change_that_nobody_saw(
    project: Project, database: Database
) -> None:
    found, prover = proven(rewritten(project, MADE, MOVED), database)
    assert not found.findings
    assert not prover.misled


@pytest.mark.databases("sqlite")
def test_rows_are_as_triggers_left_them(project: Project, database: Database) -> None:
    found, prover = proven(rewritten(project, MADE, PROGRAMMED), database)
    assert not found.findings
    assert not prover.misled
    assert 7 in prover.known.contents["t"].values("b")


@pytest.mark.databases("sqlite")
def test_new_table_has_rows_when_its_revision_was_run_again(
    project: Project, database: Database
) -> None:
    anew = rewritten(project, AGAIN)
    _, prover = proven(anew, database, checks=ALWAYS | {RERUN})
    assert prover.known.contents["t0"].rows


@pytest.mark.databases("sqlite")
def test_statement_after_an_index_counts(project: Project) -> None:
    assert KEEPS.match("CREATE INDEX i ON t (a);")
    assert not KEEPS.match("CREATE INDEX i ON t (a);\nDELETE FROM t")
    assert not SPARES_OTHERS.match("ALTER TABLE t ADD b INTEGER; DELETE FROM t")
