"""The bills as a web page: ``python -m bills serve``, or `application` in another WSGI server.

Each request asks first whether the database is at the revision that this code needs. While it is
not, or cannot be reached, the answer is 503 with the line that says how to fix it; and the bills
are there again as soon as it is fixed, without a restart.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from mako.template import Template
from sqlalchemy import Engine

from bills import database
from bills.models import STATUSES
from bills.queries import find_bills, find_owed
from bills.read import Refused, number
from bills.table import money, printable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROWS = 100  # bills on one page
RETRY = 5  # seconds after which a browser asks again for what is not there yet
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "X-Content-Type-Options": "nosniff",
}


@dataclass
class Answer:
    """What goes to the browser."""

    status: HTTPStatus
    text: str
    kind: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """A WSGI application that shows the bills of one database.

    ``/`` lists bills; ``?status=open`` some of them. ``/ready`` is for probes: 200 when the
    database can be used, otherwise 503, and one line that says why.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        answer = self._answer(environ)
        body = answer.text.encode()
        headers = HEADERS | answer.headers
        headers |= {"Content-Type": f"{answer.kind}; charset=utf-8"}
        headers |= {"Content-Length": str(len(body))}
        start_response(f"{answer.status.value} {answer.status.phrase}", [*headers.items()])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        page = {"/": self._bills, "/ready": self._ready}.get(environ.get("PATH_INFO") or "/")
        if page is None:
            return _problem(environ, HTTPStatus.NOT_FOUND, "there is no such page")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            line = "this page can be read, and no more"
            return _problem(environ, HTTPStatus.METHOD_NOT_ALLOWED, line, Allow="GET, HEAD")
        asked = {name: texts[-1] for name, texts in parse_qs(environ["QUERY_STRING"]).items()}
        try:
            return page(asked)
        except Refused as error:
            return _problem(environ, HTTPStatus.BAD_REQUEST, str(error))
        except database.DatabaseProblem as error:
            line = printable(str(error))
            print(f"503: {line}", file=environ["wsgi.errors"], flush=True)
            retry = {"Retry-After": str(RETRY)}
            return _problem(environ, HTTPStatus.SERVICE_UNAVAILABLE, line, **retry)

    def _ready(self, asked: dict[str, str]) -> Answer:
        return Answer(HTTPStatus.OK, f"{database.check(self._engine)}\n", "text/plain")

    def _bills(self, asked: dict[str, str]) -> Answer:
        status = asked.get("status") or None
        page = number("page", asked.get("page", "1"))
        with database.session(self._engine) as session:
            found = find_bills(session, None, status, ROWS + 1, max(0, page - 1) * ROWS)
            owed = sum((owed for _, owed in find_owed(session)), Decimal(0))
            rows, more = found[:ROWS], len(found) > ROWS
            text = _render(
                title="Bills",
                rows=rows,
                owed=owed,
                chosen=status,
                before=_link(status, page - 1) if page > 1 else "",
                after=_link(status, page + 1) if more else "",
            )
        return Answer(HTTPStatus.OK, text)


@cache
def _site() -> Site:
    return Site(database.make_engine(database.url()))


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Show the bills of ``DATABASE_URL``, in any WSGI server: ``gunicorn bills.web:application``.

    Raises `bills.database.DatabaseProblem` when that address cannot be read.
    """
    return _site()(environ, start_response)


def _problem(environ: "WSGIEnvironment", status: HTTPStatus, line: str, **headers: str) -> Answer:
    """Return the line as a page to a browser, and as it is to everybody else."""
    headers["Vary"] = "Accept"
    if "text/html" not in environ.get("HTTP_ACCEPT", ""):
        return Answer(status, f"{line}\n", "text/plain", headers)
    retry = RETRY if "Retry-After" in headers else 0
    text = _render(title=f"{status.value} {status.phrase}", line=line, retry=retry)
    return Answer(status, text, headers=headers)


def _link(status: str | None, page: int = 1) -> str:
    asked = {"status": status} if status else {}
    return "/?" + urlencode(asked | ({"page": page} if page > 1 else {}))


@cache
def _template() -> Template:
    # Whatever is put into the page is escaped, unless it says otherwise.
    return Template(
        filename=str(Path(__file__).parent / "page.html"),
        default_filters=["str", "h"],
        strict_undefined=True,
    )


def _render(**values: Any) -> str:
    given: dict[str, Any] = {"line": "", "retry": 0, "rows": [], "owed": 0, "chosen": None}
    given |= {"before": "", "after": "", "today": date.today(), "money": money, "show": printable}
    choices: list[tuple[str | None, str]] = [(None, "All")]
    choices += [(status, status.capitalize()) for status in STATUSES]
    links = [(_link(status), shown, status) for status, shown in choices]
    return str(_template().render(**given | {"links": links} | values))
