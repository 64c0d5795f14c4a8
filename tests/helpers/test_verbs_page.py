"""``docs/verbs.md`` says what the verbs do."""

import pytest

from tests.databases import NAMES, Database
from tests.helpers import verbs_page
from tests.helpers.conftest import empty
from tests.helpers.test_contract import ROWS, Row
from tests.helpers.verbs_page import NewDatabase, section


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_page_says_what_the_verb_does(row: Row, new_database: NewDatabase) -> None:
    text = verbs_page.PAGE.read_text(encoding="utf-8")

    def new(name: str) -> Database:
        database = new_database(name)
        if name == "postgresql":  # which is one for all tests
            empty(database)
        return database

    wanted = section(row, new, NAMES)
    assert wanted in text, "to write the page again: python -m tests.helpers.verbs_page"


def test_page_has_no_other_section() -> None:
    text = verbs_page.PAGE.read_text(encoding="utf-8")
    assert text.startswith(verbs_page.INTRODUCTION)
    assert text.count("\n## ") == len(ROWS)
