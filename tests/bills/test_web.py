"""The bills as a page, over HTTP: what a browser and a probe get, whatever the database is like."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from wsgiref.validate import validator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bills import database as bills_database
from bills import probe, web
from bills.models import Bill, User
from bills.server import listen
from tests.bills.conftest import OWED_BY_USER, ROOT, Bills, put_at
from tests.databases import Database

HTML = {"Accept": "text/html,*/*"}


@dataclass
class Answer:
    """What came over HTTP."""

    status: int
    text: str
    headers: http.client.HTTPMessage


@dataclass
class Served:
    """A site that is being served."""

    port: int

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(), answer.headers)


Serve = Callable[[str], Served]


@contextmanager
def served(address: str) -> Iterator[Served]:
    engine = bills_database.make_engine(address)
    with listen(validator(web.Site(engine)), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Served(server.server_port)
        finally:
            server.shutdown()
            thread.join()
            engine.dispose()


@pytest.fixture
def site(database: Database, address: str) -> Iterator[Served]:
    """Serve the empty database."""
    with served(database.url) as site:
        yield site


def add(database: Database, *descriptions: str, user: str = "Ada", status: str = "open") -> None:
    with Session(database.engine) as session, session.begin():
        owner = User(name=user)
        session.add(owner)
        session.flush()
        for number, description in enumerate(descriptions):
            money, day = Decimal("1234.5"), date(2026, 1, 1 + number % 28)
            bill = Bill(user_id=owner.id, description=description, amount=money, due=day)
            bill.created_on, bill.status = day, status
            session.add(bill)


def move_to(database: Database, revision: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))


# The bills


def test_page_shows_the_bills(site: Served, head: Database) -> None:
    add(head, "Rent & <b>water</b>", "Café ☕", user='D\'Angelo "Dee" <i>')
    answer = site.get(**HTML)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Rent &amp; &lt;b&gt;water&lt;/b&gt;" in answer.text
    assert "D&#39;Angelo &#34;Dee&#34; &lt;i&gt;" in answer.text
    assert "Café ☕" in answer.text
    assert "1,234.50" in answer.text
    assert "2,469.00 to be paid" in answer.text
    assert "2026-01-01" in answer.text


@pytest.mark.databases("sqlite")
def test_page_shows_the_bills_of_one_status(site: Served, head: Database) -> None:
    add(head, "Rent")
    add(head, "Piano", status="cancelled")
    assert {"Rent", "Piano"} <= {*re.findall(r"\w+", site.get().text)}
    answer = site.get("/?status=cancelled")
    assert "Piano" in answer.text
    assert "Rent" not in answer.text
    assert "There are no such bills." in site.get("/?status=paid").text


@pytest.mark.databases("sqlite")
def test_bills_are_shown_by_the_hundred(site: Served, head: Database) -> None:
    add(head, *(f"number {number}" for number in range(205)))
    pages = [site.get(f"/?status=open&page={page}").text for page in (1, 2, 3, 4)]
    assert [page.count(">number ") for page in pages] == [100, 100, 5, 0]
    assert ['rel="prev"' in page for page in pages] == [False, True, True, True]
    assert ['rel="next"' in page for page in pages] == [True, True, False, False]
    assert 'href="/?status=open&amp;page=3"' in pages[1]


# A database that cannot be used


def test_page_is_503_until_the_database_is_upgraded(site: Served, head: Database) -> None:
    add(head, "Rent")
    assert site.get().status == 200
    where = bills_database.check(head.engine).partition(" is at ")[0]
    for revision, way in (
        ("0013", "is at revision 0013, this code needs 0014; run: alembic upgrade head"),
        ("0015", "is at revision 0015, newer than this code (0014); deploy the newer code, or, "
         "from it, run: alembic downgrade 0014"),
    ):  # fmt: skip
        move_to(head, revision)
        for path in ("/", "/ready"):
            answer = site.get(path)
            assert (answer.status, answer.text) == (503, f"{where} {way}\n")
            assert answer.headers["Retry-After"] == "5"
        page = site.get(**HTML)
        assert page.status == 503
        assert f"{where} {way}" in page.text
        assert '<meta http-equiv="refresh" content="5">' in page.text
        move_to(head, "0014")
        assert site.get().status == 200
        ready = site.get("/ready")
        assert (ready.status, ready.text) == (200, f"{where} is at revision 0014\n")


def test_page_is_503_when_there_is_no_schema(
    site: Served, database: Database, address: str
) -> None:
    line = f"{address} has no schema yet; run: alembic upgrade head\n"
    assert (site.get().status, site.get().text) == (503, line)
    put_at(database, "0014")  # but no tables
    assert site.get("/ready").status == 200
    assert site.get().status == 503
    assert site.get().text.startswith(f"{address}: ")


def test_page_comes_back_when_a_query_failed(site: Served, head: Database) -> None:
    with head.engine.begin() as connection:
        connection.execute(text("DROP VIEW owed_by_user"))
    assert site.get().status == 503
    with head.engine.begin() as connection:
        connection.execute(text(OWED_BY_USER))
    assert site.get().status == 200


# Which other connections there are to this database, and what ends one of them.
ENDS = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "SELECT pg_terminate_backend({})",
    ),
    "mysql": (
        "SELECT id FROM information_schema.processlist "
        "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        "KILL {}",
    ),
}


@pytest.mark.databases("postgresql", "mariadb", "mysql")
def test_page_is_not_disturbed_when_the_server_ends_its_connections(
    site: Served, head: Database
) -> None:
    find, end = ENDS[head.name.replace("mariadb", "mysql")]
    assert site.get().status == 200
    with head.engine.begin() as connection:
        ended = connection.scalars(text(find)).all()
        for number in ended:
            connection.execute(text(end.format(number)))
    assert ended
    assert site.get().status == 200


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_page_is_503_when_nobody_answers(driver: str) -> None:
    pytest.importorskip(driver.partition("+")[2])
    with served(f"{driver}://ada:s3cret@127.0.0.1:1/bills") as site:
        for path in ("/", "/ready"):
            answer = site.get(path)
            assert answer.status == 503
            assert answer.text.startswith(f"{driver}://ada:***@127.0.0.1:1/bills: ")
            assert "s3cret" not in site.get(path, **HTML).text


def test_page_is_503_when_the_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr(bills_database, "LONGEST_WAIT", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and that is all
        address = f"postgresql+psycopg://ada:s3cret@127.0.0.1:{silent.getsockname()[1]}/bills"
        with served(address) as site:
            assert site.get().status == 503


def test_page_is_503_when_the_file_is_missing_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "bills.db"
    with served(f"sqlite:///{path}") as site:
        assert site.get().status == 503
        assert not path.exists()
        path.write_text("not a database, but long enough to be looked at" * 99)
        assert site.get().text == f"sqlite:///{path}: file is not a database\n"


@pytest.mark.databases("sqlite")
def test_page_is_of_the_file_that_is_there_now(site: Served, head: Database) -> None:
    assert site.get().status == 200
    file = Path(str(head.engine.url.database))
    with closing(sqlite3.connect(file)) as one, closing(sqlite3.connect(f"{file}.new")) as other:
        one.backup(other)
        other.execute("INSERT INTO users (name) VALUES ('Zoë')")
        other.execute(
            "INSERT INTO bills (user_id, description, amount, due, created_on) "
            "VALUES (1, 'Brought back', 1, '2026-01-01', '2026-01-01')"
        )
        other.commit()
    Path(f"{file}.new").replace(file)  # as after a backup is brought back
    assert "Brought back" in site.get().text


# What else is asked


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("method", "path", "status", "line"),
    [
        ("GET", "/x", 404, "there is no such page"),
        ("GET", "/favicon.ico", 404, "there is no such page"),
        ("GET", "/ready/", 404, "there is no such page"),
        ("POST", "/", 405, "this page can be read, and no more"),
        ("DELETE", "/ready", 405, "this page can be read, and no more"),
        ("GET", "/?page=x", 400, "page 'x' is not the number of a page"),
        ("GET", "/?page=9999999999", 400, "page '9999999999' is not the number of a page"),
        ("GET", "/?status=<b>", 400, "status '<b>' is not one of: open, paid, cancelled"),
        ("GET", "/?status=%00%ff", 400, "status '\\x00\N{REPLACEMENT CHARACTER}' is not one of:"),
    ],
)
def test_page_refuses_in_one_line(
    site: Served, head: Database, method: str, path: str, status: int, line: str
) -> None:
    answer = site.get(path, method)
    assert answer.status == status
    assert answer.text.startswith(line)
    assert answer.text.count("\n") == 1
    shown = site.get(path, method, **HTML)
    assert shown.status == status
    assert "<b>" not in shown.text
    assert (answer.headers["Allow"] == "GET, HEAD") == (status == 405)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("path", ["/", "/ready", "/x"])
def test_head_has_the_headers_alone(site: Served, head: Database, path: str) -> None:
    get, answer = site.get(path), site.get(path, "HEAD")
    assert (answer.status, answer.text) == (get.status, "")
    assert answer.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.databases("sqlite")
def test_page_is_there_for_others_while_a_client_says_nothing(site: Served, head: Database) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as slow:
        slow.sendall(b"GET / HT")
        assert site.get().status == 200


@pytest.mark.databases("sqlite")
def test_a_client_that_is_gone_leaves_no_traceback(
    site: Served, head: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # linger: no farewell
    for said in (b"", b"GET /ready HT", b"GET /ready HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", site.port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            gone.sendall(said)
    assert site.get().status == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.databases("sqlite")
def test_any_wsgi_server_can_take_the_application(
    head: Database, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_site", lambda: web.Site(bills_database.make_engine(head.url)))
    with listen(validator(web.application), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert Served(server.server_port).get("/ready").status == 200
        thread.join()


# The command


@contextmanager
def serving(database: Database) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-W", "error", "-m", "bills", "serve", "--port", "0"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_serve_ends_when_it_is_told(
    head: Database, address: str, number: signal.Signals, status: int
) -> None:
    with serving(head) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("http://127.0.0.1:")
        assert probe.main([said.split()[0] + "/ready"]) == 0
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
        assert [line for line in errors.splitlines() if '"GET /ready HTTP' not in line] == []


@pytest.mark.databases("sqlite")
def test_serve_refuses_a_port_that_is_taken(database: Database, address: str, bills: Bills) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bills("serve", "--port", str(port)).assert_refuses(
            f"cannot listen on 127.0.0.1, port {port}: Address already in use; "
            "choose another with --port or --host"
        )


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("port", ["x", "-1", "65536", "", "1.5"])
def test_serve_refuses_what_is_no_port(
    database: Database, address: str, bills: Bills, port: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        bills("serve", f"--port={port}")
    assert refused.value.code == 2


def test_serve_refuses_an_address_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, bills: Bills
) -> None:
    monkeypatch.setenv("DATABASE_URL", "s3cret")
    outcome = bills("serve")
    assert outcome.status == 1
    assert outcome.err.startswith("error: DATABASE_URL cannot be read")


# The probe


@pytest.mark.databases("sqlite")
def test_probe_says_what_a_page_answers(
    site: Served, head: Database, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = f"http://127.0.0.1:{site.port}"
    assert probe.main([asked]) == 0
    assert probe.main([f"{asked}/ready"]) == 0
    move_to(head, "0013")
    assert probe.main([f"{asked}/ready"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "200 OK",
        f"200 OK: {address} is at revision 0014",
        f"503 Service Unavailable: {address} is at revision 0013, this code needs 0014; "
        "run: alembic upgrade head",
    ]


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        ([], 2),
        (["ftp://x"], 2),
        (["http://127.0.0.1:1/"], 1),
        (["http://"], 1),
        (["http://127.0.0.1:x/"], 1),
    ],
)
def test_probe_ends_without_a_traceback(
    argv: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main(argv) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
