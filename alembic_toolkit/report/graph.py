"""The history as a drawing on the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import RevisionProof
from alembic_toolkit.report.findings import STYLES, WORST, Row, one_line
from alembic_toolkit.report.markup import classed, link, safe

_ROW, _LANE = 28, 14  # pixels in the graph: as in the style sheet


@dataclasses.dataclass(frozen=True)
class _Edge:
    """A line in the graph, from a revision to one below it that it follows or depends on."""

    start: tuple[int, int]  # lane, row
    end: tuple[int, int]
    lane: int  # the one in which it goes down
    depends: bool


def _lay_out(revisions: Sequence[RevisionProof]) -> tuple[list[int], list[_Edge]]:
    """Return the lane of each revision, the newest first, and the lines between them."""
    row_of = {revision.id: row for row, revision in enumerate(revisions)}
    lanes: list[str | None] = []  # the revision expected in each
    waiting: dict[str, list[tuple[tuple[int, int], int, bool]]] = {}
    placed: list[int] = []
    edges: list[_Edge] = []
    for row, revision in enumerate(revisions):
        lane = _lane(lanes, revision.id)
        placed.append(lane)
        edges += [_Edge(s, (lane, row), via, d) for s, via, d in waiting.pop(revision.id, [])]
        lanes = [None if waited == revision.id else waited for waited in lanes]
        below = [(id_, False) for id_ in revision.parents]
        below += [(id_, True) for id_ in revision.depends if id_ not in revision.parents]
        for id_, depends in below:
            if row_of.get(id_, -1) > row:
                via = lane if lane < len(lanes) and lanes[lane] is None else _lane(lanes, id_)
                lanes += [None] * (via + 1 - len(lanes))
                lanes[via] = id_
                waiting.setdefault(id_, []).append(((lane, row), via, depends))
    return placed, edges


def _lane(lanes: list[str | None], id_: str) -> int:
    """Return the lane in which a revision is expected, else a free one, else a new one."""
    for wanted in (id_, None):
        if wanted in lanes:
            return lanes.index(wanted)
    lanes.append(None)
    return len(lanes) - 1


def html_graph(rows: list[Row]) -> str:
    """Return the history as a drawing beside the list of its revisions."""
    if not rows:
        return ""
    rows = rows[::-1]
    placed, edges = _lay_out([row.any for row in rows])
    lanes = 1 + max([*placed, *(edge.lane for edge in edges)])
    step = max(6, min(_LANE, 200 // lanes))
    width = step * lanes + 8

    def point(lane: int, row: int) -> tuple[int, int]:
        return 8 + lane * step, row * _ROW + _ROW // 2

    drawn = [_svg_edge(edge, point) for edge in edges]
    drawn += [
        _svg_dot(*point(lane, number), row.statuses())
        for number, (lane, row) in enumerate(zip(placed, rows, strict=True))
    ]
    items = [
        f'<li><a href="{link(row.any.id)}"><code>{safe(row.any.id)}</code> '
        f"{_html_flag(row)}{safe(one_line(row.any.title))}</a>"
        for row in rows
    ]
    return (
        "<nav aria-labelledby=history><h2 id=history>History</h2>"
        f'<div class=graph style="--lanes:{width}px"><svg aria-hidden=true width={width} '
        f"height={_ROW * len(rows)}>{''.join(drawn)}</svg><ol reversed>\n"
        + "\n".join(items)
        + "\n</ol></div></nav>"
    )


def _html_flag(row: Row) -> str:
    """Return the worst status, because the color of a dot is not enough."""
    worst = row.shown()[0]
    return "" if worst == results.PROVEN else classed(worst, worst) + " "


def _svg_edge(edge: _Edge, point: Callable[[int, int], tuple[int, int]]) -> str:
    """Draw down the edge's lane, with a curve into it and one out of it."""
    (x, y), (end_x, end_y), (via, _) = point(*edge.start), point(*edge.end), point(edge.lane, 0)
    path = f"M{x} {y}"
    if via != x:
        path += f"C{x} {y + _ROW // 2} {via} {y + _ROW // 2} {via} {y + _ROW}"
    if via != end_x and end_y - y > _ROW:
        path += f"V{end_y - _ROW}"
    if via != end_x:
        middle = end_y - _ROW // 2
        path += f"C{via} {middle} {end_x} {middle} {end_x} {end_y}"
    else:
        path += f"V{end_y}"
    return f'<path d="{path}"{" class=depends" if edge.depends else ""} />'


def _svg_dot(x: int, y: int, statuses: set[str]) -> str:
    """Draw a dot that can be distinguished without its color."""
    kind = STYLES[next(status for status in WORST if status in statuses)].kind
    if kind == "bad":
        return f"<rect class=bad x={x - 5} y={y - 5} width=10 height=10 />"
    return f"<circle class={kind} cx={x} cy={y} r={4 if kind == 'ok' else 5} />"
