"""Reports such as a round trip makes, to be shown: with rough values, but none that it measured."""

from collections.abc import Callable

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Finding, Outcome, Proof, Report, RevisionProof

SERVERS = {"sqlite": "SQLite 3.45.1", "postgresql": "PostgreSQL 16.2", "mariadb": "MariaDB 10.11.6"}
ASKED = (results.UP, results.DOWN, results.UP_AGAIN, results.ROWS, results.RERUN, results.OFFLINE)
KEYS = {
    "sqlite": "INTEGER NOT NULL",
    "postgresql": "SERIAL NOT NULL",
    "mariadb": "INTEGER NOT NULL AUTO_INCREMENT",
}
TITLES = ("Add bills", "Give bills a due date", "Index bills by customer", "Widen the amount")
HOSTILE = (
    "</script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
)


def revision(
    number: int,
    database: str = "sqlite",
    parents: tuple[str, ...] | None = None,
    id_: str = "",
    **more: object,
) -> RevisionProof:
    """Make a revision that is proven, with the SQL that the server may have got."""
    id_ = id_ or name(number)
    title = TITLES[number % len(TITLES)]
    table = f"bill_{number}"
    proven = RevisionProof(
        id_,
        f"migrations/versions/{id_}.py",
        title,
        (name(number - 1),) if parents is None and number > 1 else parents or (),
        checks={check: Outcome(results.PROVEN) for check in ASKED},
        upgrade=[
            f"CREATE TABLE {table} (\n    id {KEYS[database]}, \n    customer VARCHAR(200), \n"
            f"    due DATE, \n    amount NUMERIC(12, 2) NOT NULL, \n    PRIMARY KEY (id)\n)",
            f"CREATE INDEX ix_{table}_customer ON {table} (customer)",
        ],
        downgrade=[f"DROP TABLE {table}"],
        seconds={
            "up": 0.004 + number % 7 / 300,
            "down": 0.003 + number % 3 / 400,
            "up again": 0.004 + number % 5 / 300,
            "looking": 0.006,
        },
    )
    for key, value in more.items():
        setattr(proven, key, value)
    return proven


def name(number: int) -> str:
    return f"{number:04}_{TITLES[number % len(TITLES)].lower().replace(' ', '_')}"


def linear(number: int, *databases: str) -> Report:
    """Make a report in which everything is proven."""
    proofs = [
        Proof(
            database,
            f"{database}://root@localhost/scratch",
            SERVERS[database],
            [revision(n, database) for n in range(1, number + 1)],
            {results.MODELS: Outcome(results.PROVEN), results.BASE: Outcome(results.PROVEN)},
            seconds=number * 0.0214,
        )
        for database in databases or SERVERS
    ]
    return Report("alembic.ini", number, [], proofs, number * 0.0655)


def each(report: Report, number: int) -> list[tuple[Proof, RevisionProof]]:
    """Return a revision on each database."""
    return [(one, one.revisions[number - 1]) for one in report.proofs]


def add(
    report: Report,
    number: int,
    check: str,
    problem: str,
    details: Callable[[str], tuple[str, ...]] = lambda database: (),
    remedy: str = "",
    on: tuple[str, ...] = tuple(SERVERS),
) -> None:
    """Put the same finding on several databases."""
    for one, revision in each(report, number):
        if one.database in on:
            revision.checks[check] = Outcome(results.FAULTY, problem)
            found = (check, one.database, revision.id, revision.path, problem)
            one.findings.append(Finding(*found, details(one.database), remedy))


def realistic(number: int = 190) -> Report:
    """Make a report with a bit of everything."""
    report = linear(number)
    add(
        report,
        number - 3,
        results.DOWN,
        "the downgrade leaves an index behind",
        lambda database: ("+ index ix_bill_due on bill: (due)",),
        'op.drop_index("ix_bill_due", table_name="bill", if_exists=True)',
        ("postgresql", "mariadb"),
    )
    types = {"sqlite": "VARCHAR(200)", "postgresql": "text", "mariadb": "longtext utf8mb4_bin"}
    add(
        report,
        44,
        results.ROWS,
        "a value that both schemas can hold is changed by up and down",
        lambda database: (
            f"~ column bill.note: {types[database]} NOT NULL",
            "- bill 17: note = 'Grüße, \\'quoted\\' 100 %'",
            "+ bill 17: note = NULL",
        ),
        'op.execute("UPDATE bill SET note = remark WHERE note IS NULL")\n'
        'op.alter_column("bill", "note", existing_type=sa.Text(), nullable=False)',
    )
    add(
        report,
        103,
        results.RERUN,
        "a second run of the upgrade fails: (psycopg.errors.DuplicateColumn) column "
        '"paid" of relation "bill" already exists',
        remedy='op.add_column("bill", sa.Column("paid", sa.Date()), if_not_exists=True)',
        on=("postgresql",),
    )
    imports = each(report, 12)[0][1]
    report.findings.append(
        Finding(
            results.SELF_CONTAINED,
            "",
            imports.id,
            imports.path,
            "imports bills.models, which moves on: what it does changes with the application",
            ("from bills.models import Bill",),
            'bill = sa.table("bill", sa.column("id"), sa.column("amount"))',
        )
    )
    except_some(report)
    return report


def except_some(report: Report) -> None:
    """Give some checks other outcomes than a proof or a finding, and the databases notes."""
    for _, one in each(report, 87):
        for check in (results.DOWN, results.UP_AGAIN):
            one.checks[check] = Outcome(results.DECLARED, "the old amounts are thrown away")
    _, excepted = each(report, 60)[2]
    excepted.checks[results.ROWS] = Outcome(
        results.EXCEPTED, "MariaDB before 10.4 rounds TIME; ticket 311"
    )
    for number in range(20, 32):
        _, one = each(report, number)[0]
        one.checks[results.OFFLINE] = Outcome(
            results.NOT_JUDGED, "batch_alter_table copies the table: no script can do it"
        )
    report.proofs[1].revisions[70].seconds["up"] = 0.41
    for database in report.proofs[1:]:
        database.notes.append("table audit could not be filled: its trigger refuses every insert")
    report.proofs[0].notes.append("table flag has no column that could differ: 1 row")


def branched(branches: int = 30, length: int = 3) -> Report:
    """Make a history of branches from one base, with a merge, and one that another depends on."""
    made: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [("base", (), ())]
    for branch in range(branches):
        for step in range(length):
            before = f"b{branch}_{step - 1}" if step else "base"
            depends = ("b0_1",) if (branch, step) == (branches - 1, 0) else ()
            made.append((f"b{branch}_{step}", (before,), depends))
    made.append(("merge", tuple(f"b{branch}_{length - 1}" for branch in range(branches)), ()))
    made.append(("after_merge", ("merge",), ()))
    report = linear(0)
    for one in report.proofs:
        one.revisions = [
            revision(number, one.database, parents, id_, depends=depends)
            for number, (id_, parents, depends) in enumerate(made)
        ]
    report.revisions = len(made)
    return report


def hostile() -> Report:
    """Make a report of long, odd and wicked names and texts."""
    report = linear(6)
    long = "ein_sehr_langer_name_" * 12
    for one in report.proofs:
        one.revisions[1].id = HOSTILE
        one.revisions[1].path = f"migrations/my versions/{HOSTILE}.py"
        one.revisions[1].upgrade = [f"INSERT INTO t VALUES ('{HOSTILE}')", "SELECT '-->]]>'"]
        one.revisions[2].id = long
        one.revisions[2].title = "Größe \U0001f9fe \u65e5\u672c\u8a9e\u306e\u8868 " + "wide " * 40
        one.revisions[3].id = "two words\x1b[31m\r\n\u202egnp"
        one.revisions[3].path = "versions/\udcff not utf-8.py"
        one.notes.append(f"table {long} {HOSTILE}\nsecond\x00line")
    add(report, 2, results.UP, f"a title {HOSTILE}", lambda database: (f"+ {HOSTILE}",), HOSTILE)
    error = "(pymysql.err.OperationalError) (1064, 'You have an error') " + "x" * 900
    error += "\n[SQL: " + "SELECT a, b FROM \u8868 WHERE c = 'd' " * 30 + "]"
    add(report, 3, results.UP, error, lambda database: tuple(f"- {n} {long}" for n in range(90)))
    add(report, 4, results.ROWS, "tab\tand\x07bell", on=("mariadb",))
    return report


def stopped() -> Report:
    """Make a report of a database that went away, of one that was never there, and of one more."""
    report = linear(40)
    gone, never = report.proofs[1:]
    del gone.revisions[25:]
    gone.checks, gone.error = {}, "server closed the connection unexpectedly\nin 0026_x, upgrade"
    never.revisions, never.checks, never.server = [], {}, ""
    never.error = "Can't connect to MySQL server on 'localhost'"
    return report
