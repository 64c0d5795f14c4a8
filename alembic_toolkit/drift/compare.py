"""Compare two snapshots: a database's, and that of its models' tables.

What models cannot define is not a difference: objects that only the database has and that belong to
no model's table, names that the server chose, storage settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from alembic_toolkit.drift.changes import Change, keys
from alembic_toolkit.drift.facts import facts
from alembic_toolkit.drift.models import Models
from alembic_toolkit.drift.servers import DriftServer
from alembic_toolkit.schema.snapshot import MADE, Snapshot, Thing
from alembic_toolkit.sql.tokens import code_tokens, names_in

_KEYS = ("primary key", "unique", "check", "foreign key", "exclusion", "index")
_OWNED = ("trigger", "rule", "policy")  # which models make by SQL of their own, if at all
_APART = ("table", "schema", "extension", "database", *_KEYS, *_OWNED, "column")
_COMMENT = re.compile(r"(?:^| )COMMENT[ =]E?'((?:[^'\\]|\\.|'')*)'", re.S)


@dataclass
class Comparison:
    """Compares the objects of two snapshots."""

    database: Snapshot
    made: Snapshot  # by the models
    models: Models
    server: DriftServer
    found: list[Change] = field(default_factory=list)

    def run(self) -> list[Change]:
        """Return all differences, table by table."""
        ours, theirs = self._owned(self.made), self._owned(self.database)
        here = {self.server.fold_table(name): name for name in theirs}
        for name in sorted(ours):
            there = here.get(self.server.fold_table(name))
            if there is not None and Thing("table", "", name) in self.made:
                self._table(name, ours[name], theirs[there])
        for thing, text in sorted(self.made.items()):
            if thing.kind not in _APART and not thing.owner:
                self._other(thing, text)
        return self.found

    def _owned(self, snapshot: Snapshot) -> dict[str, dict[Thing, str]]:
        """Return each table with the objects that belong to it."""
        found: dict[str, dict[Thing, str]] = {}
        for thing, text in snapshot.items():
            if thing.kind in ("table", "foreign table"):
                found.setdefault(thing.name, {})[thing] = text
            elif thing.owner:
                found.setdefault(thing.owner, {})[thing] = text
        return found

    def _add(self, sign: str, kind: str, table: str, name: str = "", **more: str) -> None:
        old, new = more.get("old", ""), more.get("new", "")
        names, columns = {name, more.get("wanted", "")}, set[str]()
        if kind in ("unique", "foreign key", "index"):
            columns = {column for text in (old, new) for column in columns_of(text)}
        known = keys(kind, table, names, columns, more.get("fact", "") if kind == "column" else "")
        if kind == "table":
            known = keys("table comment", table, {table})
        self.found.append(Change(sign, kind, table, name, keys=known, **more))

    # One table

    def _table(self, name: str, made: dict[Thing, str], there: dict[Thing, str]) -> None:
        self._settings(name, *(self._text_of(things) for things in (there, made)))
        fold = self.server.fold
        columns = [
            {fold(t.name): (t.name, text) for t, text in things.items() if t.kind == "column"}
            for things in (there, made)
        ]
        for column in sorted(columns[0].keys() | columns[1].keys()):
            old, new = (side.get(column) for side in columns)
            if old is None or new is None:
                own, text = old or new or ("", "")
                sides = {"old": text} if new is None else {"new": text}
                self._add("-" if new is None else "+", "column", name, own, **sides)
            elif old[1] != new[1]:
                self._column(name, new[0], old[1], new[1])
        for kind in _KEYS:
            sides_ = [
                {t.name: text for t, text in things.items() if t.kind == kind}
                for things in (there, made)
            ]
            self._keys(kind, name, *sides_)
        for thing, text in sorted(made.items()):
            if thing.kind in _OWNED:
                self._made_by_models(thing, text, there.get(thing))

    @staticmethod
    def _text_of(things: dict[Thing, str]) -> str:
        return next(text for thing, text in things.items() if thing.kind.endswith("table"))

    def _settings(self, name: str, old: str, new: str) -> None:
        """Compare the table itself: its comment, and any settings given by the models."""
        comments = [_comment(text) for text in (old, new)]
        if comments[0] != comments[1]:
            self._add("~", "table", name, name, fact="comment", old=comments[0], new=comments[1])
        rests = [self.server.table_settings(_COMMENT.sub("", text)).strip() for text in (old, new)]
        if rests[0] != rests[1] and self.models.settles(name, rests[1]):
            self._add("~", "table", name, name, fact="options", old=rests[0], new=rests[1])

    def _column(self, table: str, column: str, old: str, new: str) -> None:
        one, other = facts(old), facts(new)
        for fact in sorted(one.keys() | other.keys()):
            before, after = one.get(fact, ""), other.get(fact, "")
            if self._differs(fact, before, after):
                self._add("~", "column", table, column, fact=fact, old=before, new=after)

    def _differs(self, fact: str, old: str, new: str) -> bool:
        if old == new:
            return False
        if fact == "type":
            return not self.server.same_type(old, new)
        if fact in ("default", "generated", "check"):
            return self.server.same(old) != self.server.same(new)
        return True

    # Keys, checks and indexes

    def _keys(self, kind: str, table: str, there: dict[str, str], made: dict[str, str]) -> None:
        """Match named keys of the models by name, and unnamed ones by definition."""
        fold, folded = self.server.fold, {self.server.fold(name): name for name in there}
        left = dict(there)
        unmatched: list[str] = []
        for name, text in sorted(made.items()):
            own = folded.get(fold(name))
            if own is None or not self.models.names(kind, table, name):
                unmatched.append(name)
                continue
            del left[own]
            if self._text(kind, there[own]) != self._text(kind, text):
                self._add("~", kind, table, own, old=there[own], new=text, wanted=name)
        for name in list(unmatched):  # the same under another name
            texts = self._text(kind, made[name])
            # Its own name first: of two that say the same each matches its namesake.
            same = [own for own in left if self._text(kind, left[own]) == texts]
            same = [own for own in same if (MADE in left[own]) == (MADE in made[name])]
            same.sort(key=lambda own: fold(own) != fold(name))
            if not same:
                continue
            unmatched.remove(name)
            own, text = same[0], left.pop(same[0])
            if self.models.names(kind, table, name):
                sides = {"old": "" if own == text else own, "new": name, "wanted": name}
                self._add("~", kind, table, own, fact="name", **sides)
        self._pair(kind, table, unmatched, left, made)

    def _pair(
        self,
        kind: str,
        table: str,
        unmatched: list[str],
        left: dict[str, str],
        made: dict[str, str],
    ) -> None:
        """Report the remaining keys; those on the same columns as one difference."""
        for name in unmatched:
            text = made[name]
            if MADE in text:
                continue  # the server's index of a foreign key: another one does as well
            pairs = [
                own
                for own in left
                if self.server.fold(own) == self.server.fold(name)
                or kind == "primary key"
                or _subject(kind, left[own], text)
            ]
            if pairs and not self.models.names(kind, table, name):
                own = pairs[0]
                self._add("~", kind, table, own, old=left.pop(own), new=text, wanted=name)
            else:
                shown = "" if not self.models.names(kind, table, name) else name
                self._add("+", kind, table, shown, new=text, wanted=name)
        for name, text in left.items():
            if MADE not in text:
                self._add("-", kind, table, name, old=text)

    def _text(self, kind: str, text: str) -> str:
        text = self.server.key_text(kind, text.partition(MADE)[0])
        return self.server.same(text) if kind in ("check", "index", "exclusion") else text

    # What models make beside tables

    def _made_by_models(self, thing: Thing, new: str, old: str | None) -> None:
        if old != new:
            sign = "~" if old is not None else "+"
            table = thing.owner or ""
            self._add(sign, thing.kind, table, thing.name, old=old or "", new=new)

    def _other(self, thing: Thing, text: str) -> None:
        """Compare a type, a sequence, or a view that the models create."""
        self._made_by_models(thing, text, self.database.get(thing))


def _comment(text: str) -> str:
    match = _COMMENT.search(text)
    return f"'{match[1]}'" if match else ""


def columns_of(text: str) -> list[str]:
    """Return the names in the first parentheses of a key's text."""
    start = text.find("(")
    return names_in(code_tokens(text[start:])) if start >= 0 else []


def _subject(kind: str, old: str, new: str) -> bool:
    """Tell whether two keys are on the same columns, in different words."""
    return kind == "foreign key" and columns_of(old) == columns_of(new)


def by_table(changes: list[Change]) -> Iterator[Change]:
    """Yield changes in display order."""
    yield from sorted(changes, key=lambda one: (one.table, one.kind != "table", one.kind, one.name))
