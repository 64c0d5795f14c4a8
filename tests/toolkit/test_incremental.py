"""A round trip that looks only at what a step touched finds what one finds that looks at all."""

from pathlib import Path

import pytest

from alembic_toolkit.proof import DOWN, Proof
from alembic_toolkit.prove import Prover
from alembic_toolkit.scratch import empty, opened, parse
from alembic_toolkit.settings import Settings
from alembic_toolkit.walk import Project, recorder
from tests.bench import history
from tests.bench.roundtrip import ENV
from tests.databases import Database

REVISIONS = 40
NOTHING = "def downgrade():\n    pass\n"
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


def proven(project: Project, database: Database, whole: bool) -> tuple[Proof, Prover]:
    found, wanted = Proof(database.name, ""), Settings()
    scratch = opened(parse(database.url))
    with recorder() as listening:
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
    assert touched.snap == all_of_it.snap
