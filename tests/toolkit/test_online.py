"""The command that alters a table while others write, and what it must not be told to do."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from alembic_toolkit.database.online import online
from tests.databases import Database
from tests.toolkit.conftest import execute, rows

pytestmark = [pytest.mark.databases("mariadb", "mysql")]

AUTO = "--alter-foreign-keys-method=auto"
TABLES = {
    "plain": "n int, t varchar(40), e varchar(9), CONSTRAINT ck_n CHECK (id > 0)",
    "watched": "n int",
    "loose": "t varchar(40)",
    "child": "n int, up int, CONSTRAINT fk_up FOREIGN KEY (up) REFERENCES plain (id)",
    "tree": "n int, up int, CONSTRAINT fk_tree FOREIGN KEY (up) REFERENCES tree (id)",
    "a,b=c": "n int",
    "dots.x": "n int",
    "it's": "n int",
}
EMPTY = 'mysql $DATABASE -e "SELECT * FROM \\`plain\\` WHERE {} LIMIT 1"'
FEWER = "  # may find nothing: the next command would cut such values"
RUNS = {
    "type": ("plain", "MODIFY n BIGINT", "", ""),
    "change": ("plain", "CHANGE n n BIGINT", "", ""),
    "renamed": ("plain", "CHANGE COLUMN n m BIGINT", "", "--no-check-alter"),
    "shorter": ("plain", "MODIFY t VARCHAR(5) NULL", "CHAR_LENGTH(t) > 5", ""),
    "text": ("plain", "MODIFY t TEXT", "LENGTH(t) > 65535", ""),
    "labels": ("plain", "MODIFY e ENUM('x','y')", "e NOT IN ('x','y')", ""),
    "several": (
        "plain",
        "MODIFY t CHAR(5), CHANGE e f VARBINARY(3)",
        "CHAR_LENGTH(t) > 5 OR LENGTH(e) > 3",
        "--no-check-alter",
    ),
    "stored": ("plain", "ADD COLUMN d INT GENERATED ALWAYS AS (n * 2) STORED", "", ""),
    "check dropped": ("plain", "DROP CONSTRAINT ck_n, MODIFY n BIGINT", "", ""),
    "trigger": ("watched", "MODIFY n BIGINT", "", "--preserve-triggers"),
    "foreign key": ("child", "MODIFY n BIGINT", "", ""),
    "foreign key dropped": ("child", "DROP FOREIGN KEY fk_up, MODIFY n BIGINT", "", ""),
    "itself": ("tree", "MODIFY n BIGINT", "", "--no-check-foreign-keys"),
    "comma": ("a,b=c", "MODIFY n BIGINT", "", ""),
    "dot": ("dots.x", "MODIFY n BIGINT", "", ""),
    "another key": ("loose", "DROP PRIMARY KEY, ADD PRIMARY KEY (id, t)", "", "--no-check-alter"),
}
NOT = {
    "unique": ("plain", "ADD UNIQUE KEY uq (t), MODIFY n BIGINT", "loses rows"),
    "rename column": ("plain", "RENAME COLUMN t TO r, MODIFY n BIGINT", "loses the values"),
    "rename": ("plain", "MODIFY n BIGINT, RENAME TO other", "does not rename a table"),
    "exchange": ("plain", "EXCHANGE PARTITION p WITH TABLE watched", "the empty copy"),
    "no key": ("keyless", "MODIFY n BIGINT", "needs a primary key"),
    "quote": ("it's", "MODIFY n BIGINT", "cannot handle such a name"),
}


@pytest.fixture
def filled(database: Database) -> Database:
    """Return a database with tables of all sorts, and rows."""
    for name, columns in TABLES.items():
        key = "id int PRIMARY KEY" if name != "child" else "id int AUTO_INCREMENT PRIMARY KEY"
        execute(database, f"CREATE TABLE `{name}` ({key}, {columns})")
    execute(database, "CREATE TABLE keyless (n int)")
    execute(database, "CREATE TRIGGER tr AFTER INSERT ON watched FOR EACH ROW SET @x = NEW.id")
    execute(database, "INSERT INTO plain VALUES (1, 1, 'a', 'x'), (2, 2, 'b', 'y')")
    execute(database, "INSERT INTO tree VALUES (1, 1, 1), (2, 1, 1)")
    execute(database, "INSERT INTO child VALUES (1, 1, 1)")
    return database


def commanded(database: Database, table: str, clauses: str) -> str:
    quoted = "`" + table.replace("`", "``") + "`"
    with database.engine.connect() as connection:
        return online(connection, f"ALTER TABLE {quoted} {clauses}")


@pytest.mark.parametrize("name", RUNS)
def test_command_says_what_the_table_needs(name: str, filled: Database) -> None:
    table, clauses, where, option = RUNS[name]
    *looks, command = commanded(filled, table, clauses).split("\n")
    assert looks == ([EMPTY.format(where) + FEWER] if where else [])
    head, _, tail = command.partition(f'" {AUTO}')
    told = clauses.replace("ck_n", "_ck_n").replace("fk_up", "_fk_up")
    assert head == f'pt-online-schema-change --alter "{told}'
    place = {"a,b=c": r"'a\,b=c'"}.get(table, table)
    assert tail.split() == [*option.split(), "--execute", f"D=$DATABASE,t={place}"]


@pytest.mark.parametrize("name", NOT)
def test_command_is_not_given_when_it_would_do_harm(name: str, filled: Database) -> None:
    table, clauses, why = NOT[name]
    found = commanded(filled, table, clauses)
    assert found.startswith("# pt-online-schema-change ")
    assert why in found
    assert "--execute" not in found


def test_command_warns_when_nothing_tells_what_fits(filled: Database) -> None:
    warning, command = commanded(filled, "plain", "MODIFY t DATE").split("\n")
    assert warning.startswith("# pt-online-schema-change changes values that do not fit")
    assert "--execute" in command


def test_command_has_the_schema_of_a_table_elsewhere(filled: Database) -> None:
    here = filled.engine.url.database
    with filled.engine.connect() as connection:
        found = online(connection, f"ALTER TABLE {here}.plain MODIFY n BIGINT")
        assert found.endswith("D=$DATABASE,t=plain")
        found = online(connection, "ALTER TABLE mysql.db MODIFY Host BIGINT")
        assert found.endswith("D=mysql,t=db")


@pytest.mark.long
@pytest.mark.parametrize("name", RUNS)
def test_command_runs_as_it_is_printed(name: str, filled: Database) -> None:
    if shutil.which("pt-online-schema-change") is None:
        pytest.skip("not on this machine: pt-online-schema-change (percona-toolkit)")
    table, clauses, *_ = RUNS[name]
    *_, command = commanded(filled, table, clauses).split("\n")
    url = filled.engine.url
    # Version 3.2 asks for replicas in words that MySQL 8.4 does not know.
    place = f",h={url.host},P={url.port},u={url.username} --recursion-method=none"
    shell = {**os.environ, "DATABASE": str(url.database), "HOME": "/nowhere"}
    count = f"SELECT COUNT(*) FROM `{table}`"
    before = rows(filled, count)
    done = subprocess.run(
        ["bash", "-c", f"{command}{place}"], env=shell, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully altered" in done.stdout
    assert rows(filled, count) == before
    triggers = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = '{}'"
    assert rows(filled, triggers.format(url.database)) == ["tr"]
