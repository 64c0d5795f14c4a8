"""The page in a real browser: Chromium or Chrome, if there is one on PATH."""

import json
import re
import struct
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from alembic_toolkit.report.page import html
from tests.browser import BROWSED, browse
from tests.toolkit import reports

PHONE, DESKTOP = (360, 740), (1280, 900)
FILTERS = {"finding": 4, "KNOWN exception": 1, "0103": 1, "due date": 48, "no such": 0}

pytestmark = BROWSED

# A page is asked this once it is there.  It stands in a frame, for a window cannot be as narrow as
# a phone; a file cannot look into the frame of another, so the page itself sends the answer.
PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const of = (selector) => [...document.querySelectorAll(selector)];
  const answer = {
    width: innerWidth,
    title: document.title,
    sections: of("details.rev").filter((one) => one.checkVisibility()).length,
    open: of("details.rev[open] > summary code").map((one) => one.textContent),
    status: document.querySelector("[role=status]").textContent,
    marked: of(".graph [aria-current] code").map((one) => one.textContent),
    images: of("img").length,
  };
  answer.text = document.body.innerText;
  for (const one of of("details")) one.open = true;
  answer.needed = document.documentElement.scrollWidth;
  answer.wide = of("main *, header *").filter((one) =>
    !one.closest(".wide") && one.getBoundingClientRect().right > innerWidth
  ).map((one) => one.outerHTML.slice(0, 200));
  parent.postMessage([name, answer], "*");
}, 50));
</script>
"""
COLLECTOR = """<!doctype html>
<script>
const answers = {};
addEventListener("message", ({ data: [name, answer] }) => {
  answers[name] = answer;
  document.title = encodeURIComponent(JSON.stringify(answers));
});
</script>
"""


def questions() -> dict[str, tuple[str, str, tuple[int, int]]]:
    """Return the pages to ask: their text, the end of their address, their size."""
    realistic, linear = html(reports.realistic()), reports.linear(30)
    for _, one in reports.each(linear, 7):
        one.id = "größe 7"
    asked = {f"filter {typed}": (realistic, f"#filter={quote(typed)}", PHONE) for typed in FILTERS}
    return asked | {
        "realistic": (realistic, "", PHONE),
        "desktop": (realistic, "", DESKTOP),
        "hostile": (html(reports.hostile()), "", PHONE),
        "stopped": (html(reports.stopped()), "", PHONE),
        "branched": (html(reports.branched(30)), "", PHONE),
        "linked": (html(linear), "#rev-gr%C3%B6%C3%9Fe_7", DESKTOP),
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ask all pages in one go: what costs time is to start the browser."""
    directory = tmp_path_factory.mktemp("pages")
    frames = []
    for number, (name, (page, hash_, (width, height))) in enumerate(questions().items()):
        # For the question alone a page lets another script run.
        page = re.sub(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", page, count=1)
        path = directory / f"{number}.html"
        path.write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
        address = escape(path.as_uri() + hash_)
        frames.append(
            f'<iframe name="{name}" src="{address}" width={width} height={height}></iframe>'
        )
    index = directory / "index.html"
    index.write_text(COLLECTOR + "\n".join(frames), encoding="utf-8")
    dumped = browse(directory, index.as_uri(), "--virtual-time-budget=20000", "--dump-dom")
    [found] = re.findall(r"<title>([^<]*)</title>", dumped)
    answers: dict[str, Any] = json.loads(unquote(found))
    return answers


def words(shown: str) -> str:
    return " ".join(shown.split())


@pytest.mark.parametrize("name", ["realistic", "hostile", "stopped", "branched"])
def test_page_fits_a_phone(answers: dict[str, Any], name: str) -> None:
    found = answers[name]
    assert found["width"] == 360
    assert found["wide"] == []
    assert found["needed"] == 360


@pytest.mark.parametrize("name", ["realistic", "desktop"])
def test_page_shows_every_finding_before_anything_is_opened(
    answers: dict[str, Any], name: str
) -> None:
    shown = words(answers[name]["text"])
    for finding in reports.realistic().all_findings():
        assert words(finding.problem) in shown
        assert all(words(line) in shown for line in (*finding.details, finding.remedy))
    assert len(answers[name]["open"]) == 4


def test_page_runs_nothing_that_it_is_given(answers: dict[str, Any]) -> None:
    found = answers["hostile"]
    assert found["images"] == 0
    assert found["title"].startswith("3 findings")
    assert words(reports.HOSTILE) in words(found["text"])


@pytest.mark.parametrize("typed", FILTERS)
def test_page_filters_by_its_address(answers: dict[str, Any], typed: str) -> None:
    found = answers[f"filter {typed}"]
    assert found["sections"] == FILTERS[typed]
    assert found["status"] == f"{FILTERS[typed]} of 190"


def test_page_opens_the_section_that_is_linked_to(answers: dict[str, Any]) -> None:
    assert answers["linked"]["open"] == ["größe 7"]
    assert answers["linked"]["marked"] == ["größe 7"]


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_as_it_is_draws_something(tmp_path: Path, size: tuple[int, int]) -> None:
    page, picture = tmp_path / "a report.html", tmp_path / "page.png"
    page.write_text(html(reports.realistic()), encoding="utf-8")
    window = f"--window-size={size[0]},{size[1]}"
    browse(tmp_path, page.as_uri(), window, f"--screenshot={picture}")
    content = picture.read_bytes()
    assert struct.unpack(">II", content[16:24]) == size
    assert len(content) > 20_000  # an empty one has some five thousand
