"""The page in a real browser, while its database is mended."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import text

from bills import samples
from bills.database import make_engine, session
from bills.server import listen
from bills.web import Site
from tests.browser import BROWSED, browse
from tests.databases import Database

pytestmark = [BROWSED, pytest.mark.databases("sqlite")]

# The page at two widths: at first, and when it has come back by itself. It forbids all scripts, so
# another page looks into it; the frames, for a window cannot be as narrow as a phone.
COLLECTOR = """<!doctype html>
<iframe name="phone" src="/" width="375" height="700"></iframe>
<iframe name="desktop" src="/" width="1280" height="900"></iframe>
<script>
const answers = {phone: [], desktop: []};
function inLines(cell) {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map((one) => Math.round(one.top))).size > 1;
}
function look(frame) {
  const page = frame.contentDocument;
  const inside = [...page.querySelectorAll("body *")];
  answers[frame.name].push({
    title: page.title,
    text: page.body.innerText,
    needed: page.documentElement.scrollWidth,
    wide: inside.filter((one) => one.getBoundingClientRect().right > frame.width)
      .map((one) => one.outerHTML.slice(0, 200)),
    rows: page.querySelectorAll("tbody tr").length,
    images: page.querySelectorAll("img, script").length,
    broken: [...page.querySelectorAll(".status, .day, .amount")].filter(inLines).length,
  });
  document.title = encodeURIComponent(JSON.stringify(answers));
}
for (const frame of document.querySelectorAll("iframe")) {
  frame.addEventListener("load", async () => {
    look(frame);
    if (Object.values(answers).every((found) => found.length === 1)) await fetch("/upgrade");
  });
}
</script>
"""


@pytest.fixture
def looks(head: Database, tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Browse the page at a revision that is too old; it is upgraded when it was seen."""
    engine = make_engine(head.url)
    with session(engine) as opened:
        samples.load(opened)
    site = Site(engine)

    def put(revision: str) -> None:
        with head.engine.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/upgrade":
            put("0014")
        if environ["PATH_INFO"] not in ("/look", "/upgrade"):
            return site(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [COLLECTOR.encode()]

    put("0013")
    with listen(application, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            dumped = browse(
                tmp_path, f"{server.address}/look", "--virtual-time-budget=20000", "--dump-dom"
            )
        finally:
            server.shutdown()
            thread.join()
    [found] = re.findall(r"<title>([^<]*)</title>", dumped)
    looked: dict[str, list[dict[str, Any]]] = json.loads(unquote(found))
    return looked


def test_page_says_what_mends_it_and_comes_back_by_itself(
    looks: dict[str, list[dict[str, Any]]],
) -> None:
    for width, frame in ((375, "phone"), (1280, "desktop")):
        first, *_, last = looks[frame]
        assert first["title"] == "503 Service Unavailable"
        assert "this code needs 0014; run: alembic upgrade head" in first["text"]
        assert last["title"] == "Bills"
        assert "Robert'); DROP TABLE users;--" in last["text"]
        assert last["rows"] == 100
        for one in (first, last):
            assert (one["needed"], one["wide"], one["images"]) == (width, [], 0)
        assert last["broken"] == 0, "a status, a day or an amount is broken into lines"
