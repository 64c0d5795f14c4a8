# ruff: noqa: E501 – a statement of a revision stays in one line
"""What a role may not see is not judged, with the reason; and no revision is blamed for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.databases import Database
from tests.toolkit.conftest import Project, execute
from tests.toolkit.test_locks import locks

pytestmark = pytest.mark.long

TABLE = "op.create_table('bills', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer))"
ALONE = """\
with op.get_context().autocommit_block():
    op.create_index('ix', 'bills', ['n'], postgresql_concurrently=True)
"""
FUNCTION = """\
op.execute("CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'UPD' || 'ATE bills SET n = 1'; END $$")
"""
TYPE = "op.execute('ALTER TABLE bills ALTER n TYPE bigint')"


def judged(project: Project, url: object) -> dict[str, tuple[str, str]]:
    """Return the status and the reason of each revision, and the exit status as the first."""
    outcome = locks(project, "--url", str(url), "--format", "json")
    report = json.loads(outcome.out)
    [proof] = report["proofs"]
    found = {"": (str(outcome.status), proof["error"])}
    for one in proof["revisions"]:
        checks = one["checks"]
        found[one["id"]] = checks["locks"]["status"], checks["locks"]["why"]
        assert checks.get("up", {}).get("status") != "finding", checks
    return found


@pytest.fixture
def limited(database: Database) -> Iterator[str]:
    """Return the name of a new user of PostgreSQL who owns the database's schema."""
    name = f"limited_{database.engine.url.database}"
    execute(database, f"CREATE ROLE {name} LOGIN")
    execute(database, f"ALTER SCHEMA public OWNER TO {name}")
    try:
        yield name
    finally:
        execute(database, f"DROP OWNED BY {name} CASCADE")
        execute(database, f"DROP ROLE {name}")


UNSEEN = {
    "counts are off": (
        "ALTER ROLE {} SET track_counts = off",
        TYPE,
        FUNCTION,
        "track_counts is off",
    ),
    "no session besides": ("ALTER ROLE {} CONNECTION LIMIT 1", ALONE, "", "too many connections"),
    "one session besides": ("ALTER ROLE {} CONNECTION LIMIT 2", ALONE, "", "too many connections"),
    "no counts of others": (
        "REVOKE EXECUTE ON FUNCTION pg_stat_get_numscans(oid) FROM PUBLIC",
        ALONE,
        "",
        "permission denied for function pg_stat_get_numscans",
    ),
    "no own id": (
        "REVOKE EXECUTE ON FUNCTION pg_backend_pid() FROM PUBLIC",
        TYPE,
        "",
        "permission denied for function pg_backend_pid",
    ),
}


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("name", UNSEEN)
def test_locks_that_postgresql_does_not_show_are_not_judged(
    name: str, project: Project, database: Database, limited: str
) -> None:
    sql, up, function, why = UNSEEN[name]
    project.revision("0001", None, TABLE + "\n" + function)
    call = "op.execute('SELECT fill()')" if function else up
    project.revision("0002", "0001", call)
    execute(database, sql.format(limited))
    url = database.engine.url.set(username=limited)
    found = judged(project, url)
    assert found["0002"][0] == "not judged", found
    assert why in found["0002"][1]
    assert found[""][0] == "2"


@pytest.mark.databases("mariadb", "mysql")
@pytest.mark.parametrize(("rights", "is_enough"), [("", False), (", INDEX", True)])
def test_locks_of_a_user_without_a_right_blame_no_revision(
    rights: str, is_enough: bool, project: Project, database: Database
) -> None:
    name = f"u{database.engine.url.database}"[-30:]
    project.revision("0001", None, TABLE)
    project.revision("0002", "0001", "op.execute('ALTER TABLE bills MODIFY n BIGINT')")
    project.revision("0003", "0002", "op.execute('CREATE INDEX ix ON bills (n)')")
    project.revision("0004", "0003", "op.execute('ALTER TABLE bills ADD m INT')")
    all_ = f"SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, REFERENCES{rights}"
    execute(database, f"CREATE USER {name}@'%'")
    execute(database, f"GRANT {all_} ON {database.engine.url.database}.* TO {name}@'%'")
    try:
        found = judged(project, database.engine.url.set(username=name))
    finally:
        execute(database, f"DROP USER {name}@'%'")
    assert found["0002"][0] == "finding"
    status, error = found[""]
    if is_enough:
        assert (status, error) == ("1", "")
        assert found["0003"][0] == "proven"
        return
    assert found["0003"][0] == "not judged"
    assert "a right, which this user does not have" in found["0003"][1]
    assert found["0004"][0] == "not reached"
    assert status == "2"
    assert "INDEX command denied" in error
