"""Answers, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alembic_toolkit.messages import printable
from alembic_toolkit.prove.results import Finding
from alembic_toolkit.schema.snapshot import described
from alembic_toolkit.where import verdict as kinds
from alembic_toolkit.where.answer import Answer, Lack


def text(answers: Sequence[Answer]) -> str:
    """Return a paragraph for each database."""
    return "\n\n".join("\n".join(map(printable, _lines(one))) for one in answers)


def _lines(one: Answer) -> Iterator[str]:
    if one.error:
        first, *more = one.error.splitlines()
        yield f"{one.name}: {first}"
        yield from more
        return
    yield f"{one.name}, {one.server}"
    marked = ", ".join(f"{m} (unknown)" if m in one.unknown else m for m in one.marked)
    yield f"  version table  {marked or 'nothing'}"
    yield f"  schema         {schema(one)}"
    for sign, lacks in (("-", one.missing), ("~", one.changed), ("+", one.extra)):
        for lack in lacks:
            yield from _lack(sign, lack)
    for note in one.notes:
        yield f"  note           {note}"
    if one.sql:
        yield "  SQL"
        yield from (f"    {statement};" for statement in one.sql)
    label = "  to do          "
    for command in one.todo:
        yield f"{label}{command}"
        label = " " * len(label)


def findings(answers: Sequence[Answer]) -> list[Finding]:
    """Return the databases whose schema does not match their version table."""
    found = []
    for one in answers:
        if one.error or one.is_sound:
            continue
        marked = ", ".join(one.marked)
        problem = f"its version table says {marked or 'nothing'}; its schema is {schema(one)}"
        signs = ("-", one.missing), ("~", one.changed), ("+", one.extra)
        details = [line.strip() for sign, some in signs for a in some for line in _lack(sign, a)]
        way = "\n".join(one.todo)
        found.append(Finding("where", one.name, marked, "", problem, tuple(details), way))
    return found


def schema(one: Answer) -> str:
    """Return a short description of the schema."""
    first = ", ".join(one.revisions[0]) or "base"
    if one.kind == kinds.EMPTY:
        return "empty"
    if one.kind == kinds.HALF:
        return f"half-way: {one.within}, {one.after}"
    if one.kind == kinds.EQUAL:
        names = " or ".join(", ".join(heads) or "base" for heads in one.revisions)
        return f"{names}: exactly, they have the same schema"
    if one.kind == kinds.FOREIGN:
        return f"nearest shares {one.shares:.0%} ({first}): not this history"
    if one.kind == kinds.NEAR:
        parts = [(one.missing, "missing"), (one.changed, "otherwise"), (one.extra, "extra")]
        counts = ", ".join(f"{len(some)} {what}" for some, what in parts if some)
        near = f"{one.within} {one.after}" if one.within else first
        return f"nearest to {near}: {counts}"
    return f"{first}, exactly"


def _lack(sign: str, one: Lack) -> Iterator[str]:
    if sign == "~":
        yield f"    ~ {described(one.thing)}  ({one.place})"
        yield f"        database has:    {' '.join((one.found or '').split()) or '(plain)'}"
        yield f"        revision wants:  {' '.join((one.wanted or '').split()) or '(plain)'}"
    else:
        said = described(one.thing, (one.wanted if sign == "-" else one.found) or "")
        yield f"    {sign} {said}  ({one.place})"
