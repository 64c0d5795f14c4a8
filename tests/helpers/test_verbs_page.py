"""``docs/verbs.md`` says what the verbs do."""

import pytest

from tests.databases import Database
from tests.helpers import verbs_page
from tests.helpers.conftest import empty
from tests.helpers.test_contract import ROWS, Row
from tests.helpers.verbs_page import NewDatabase, outcome, section, statements

ON_BOTH = [row for row in ROWS if {"mariadb", "mysql"} <= {*row.servers}]


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_page_says_what_the_verb_does(row: Row, new_database: NewDatabase) -> None:
    text = verbs_page.PAGE.read_text(encoding="utf-8")

    def new(name: str) -> Database:
        database = new_database(name)
        if name == "postgresql":  # which is one for all tests
            empty(database)
        return database

    wanted = section(row, new, verbs_page.NAMES)
    assert wanted in text, "to write the page again: python -m tests.helpers.verbs_page"


def test_page_has_no_other_section() -> None:
    text = verbs_page.PAGE.read_text(encoding="utf-8")
    assert text.startswith(verbs_page.INTRODUCTION)
    assert text.count("\n## ") == len(ROWS)


@pytest.mark.parametrize("row", ON_BOTH, ids=str)
def test_mysql_does_what_mariadb_does(row: Row, new_database: NewDatabase) -> None:
    for situation in row.situations:
        found = {outcome(row, situation, new_database(name)) for name in ("mariadb", "mysql")}
        assert len(found) == 1, found
    mariadb, mysql = ("\n".join(statements(row, new_database, n)) for n in ("mariadb", "mysql"))
    assert mariadb.replace("`bills` DROP CONSTRAINT `ck_", "`bills` DROP CHECK `ck_", 1) == mysql
