"""Connections that commit each statement: the driver is asked, and no option believed."""

import textwrap
from typing import Any

import pytest
import sqlalchemy as sa

import alembic_helpers as helpers
from alembic_toolkit.database.driver import commits_each
from tests.databases import Database
from tests.helpers.vocabulary import revision
from tests.toolkit.conftest import Project, execute, rows, tables
from tests.toolkit.test_attempts import ADD, MULTIPLY, reading

SERVERS = pytest.mark.databases("postgresql", "mariadb", "mysql")
COUNTS = ("CREATE TABLE counts (n INTEGER)", "INSERT INTO counts VALUES (1)")
ENV = """\
import sqlalchemy as sa
from alembic import context
from alembic_toolkit.runner import run

url = context.config.get_main_option("sqlalchemy.url")
engine = sa.create_engine(url, {options}poolclass=sa.NullPool)
{more}
"""
DRIVERS = {"postgresql": {"autocommit": True}, "mariadb": {"autocommit": True}}


def engines(database: Database) -> list[dict[str, Any]]:
    """Return the ways to make an engine whose statements are committed one by one."""
    return [
        {"isolation_level": "AUTOCOMMIT"},
        {"execution_options": {"isolation_level": "AUTOCOMMIT"}},
        {"connect_args": DRIVERS[database.kin]},
    ]


@SERVERS
@pytest.mark.parametrize("way", range(3))
def test_driver_is_asked_whether_each_statement_is_committed(database: Database, way: int) -> None:
    engine = sa.create_engine(database.engine.url, poolclass=sa.NullPool, **engines(database)[way])
    with engine.connect() as connection:
        assert commits_each(connection)
        back = connection.execution_options(isolation_level="READ COMMITTED")
        assert not commits_each(back)
    with database.engine.connect() as connection:
        assert not commits_each(connection)
        connection.execution_options(isolation_level="AUTOCOMMIT")
        assert commits_each(connection)


@SERVERS
@pytest.mark.parametrize("way", range(3))
@pytest.mark.parametrize(
    ("more", "advice"),
    [
        (
            "run(context, engine)",
            "with engine.connect() as connection:  # in env.py\n"
            '        run(context, connection.execution_options(isolation_level="READ COMMITTED"))',
        ),
        (
            "with engine.connect() as connection:\n    run(context, connection)",
            'connection = connection.execution_options(isolation_level="READ COMMITTED")'
            "  # before run(context, ...)",
        ),
    ],
)
def test_upgrade_refuses_a_connection_that_commits_by_itself(
    project: Project, database: Database, way: int, more: str, advice: str
) -> None:
    execute(database, *COUNTS)
    project.revision("0001", upgrade=MULTIPLY)
    options = "".join(f"{name}={value!r}, " for name, value in engines(database)[way].items())
    project.write("migrations/env.py", ENV.format(options=options, more=more))
    message = project.refusal("upgrade", "head")
    assert message.startswith("the connection commits each statement by itself: nothing was run")
    assert message.endswith(f"What to do next:\n    {advice}")
    assert tables(database) == {"counts"}
    assert rows(database, "SELECT n FROM counts") == [1]
    assert project.alembic("current").status == 0  # which only looks
    mended = textwrap.dedent(f"    {advice}\n")
    if "with" in more:
        mended = more.replace("    run", textwrap.indent(mended, "    ") + "    run")
    project.write("migrations/env.py", ENV.format(options=options, more=mended))
    assert project.alembic("upgrade", "head").status == 0
    assert rows(database, "SELECT n FROM counts") == [100]


@pytest.mark.databases("mariadb", "mysql")
def test_upgrade_refuses_a_url_that_asks_for_autocommit(
    project: Project, database: Database
) -> None:
    project.revision("0001")
    url = database.engine.url.update_query_dict({"autocommit": "true"})
    text = url.render_as_string(hide_password=False)
    env = f"from alembic import context\n{RUN}\nrun(context, {text!r})"
    project.write("migrations/env.py", env)
    message = project.refusal("upgrade", "head")
    assert "leave autocommit out of the URL" in message
    assert tables(database) == set()


RUN = "from alembic_toolkit.runner import run"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "options", ["isolation_level='AUTOCOMMIT',", "connect_args={'isolation_level': None},"]
)
def test_upgrade_begins_by_itself_on_sqlite(
    project: Project, database: Database, options: str
) -> None:
    execute(database, *COUNTS)
    project.revision("0001", upgrade=MULTIPLY + "op.execute('UPDATE gone SET n = 1')")
    project.write("migrations/env.py", ENV.format(options=options, more="run(context, engine)"))
    assert "no such table: gone" in project.refusal("upgrade", "head")
    assert rows(database, "SELECT n FROM counts") == [1]


TURNED_ON = {
    "postgresql": "driver.rollback()\ndriver.autocommit = True\n",
    "mariadb": "driver.autocommit(True)\n",
}


@SERVERS
def test_what_is_kept_is_not_done_again_when_the_revision_itself_turns_autocommit_on(
    project: Project, database: Database
) -> None:
    execute(database, "CREATE TABLE bills (id INTEGER PRIMARY KEY)", *COUNTS)
    driver = "driver = op.get_bind().connection.dbapi_connection\n"
    project.revision("0001", upgrade=driver + TURNED_ON[database.kin] + MULTIPLY + ADD)
    with reading(database):
        assert "got no lock" in project.refusal("-x", "retry_for=0.4", "upgrade", "head")
    assert rows(database, "SELECT n FROM counts") == [100]


def test_execute_once_keeps_statement_and_mark_together_where_each_would_be_committed(
    database: Database,
) -> None:
    execute(database, *COUNTS)
    if database.name != "sqlite":
        options: dict[str, Any] = {"connect_args": DRIVERS[database.kin]}
    else:
        options = {"isolation_level": "AUTOCOMMIT"}
    engine = sa.create_engine(database.engine.url, poolclass=sa.NullPool, **options)
    other = Database(database.name, database.url, engine, database.drop)
    with pytest.raises(sa.exc.DBAPIError), revision(other):
        helpers.execute("UPDATE counts SET m = n * 100", once="times 100")
    with revision(other):
        helpers.execute("UPDATE counts SET n = n * 100", once="times 100")
    assert rows(database, "SELECT n FROM counts") == [100]
