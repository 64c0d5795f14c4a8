"""Find drops that found nothing, and directions that change nothing.

Only the first upgrade and the first downgrade count: they begin at the state that the revision was
written for. Later a step may find its work already done.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from alembic.script import Script

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.database.skips import Skip
from alembic_toolkit.prove import results, wording
from alembic_toolkit.prove.results import Outcome, Proof, RevisionProof
from alembic_toolkit.prove.statements import acts, changes_rows, not_rebuilding, read_by
from alembic_toolkit.prove.steps import Steps
from alembic_toolkit.prove.verdicts import Verdicts
from alembic_toolkit.prove.wording import running_name
from alembic_toolkit.schema.snapshot import Snapshot, Thing
from alembic_toolkit.sql.tokens import code_tokens, unquoted

IN_VAIN, NOTHING = "drops what is not there", "changes nothing"
_CHECKS = {True: results.UP, False: results.DOWN}
_EMPTY = 'or, where that is right: empty = "why", in the module'


@dataclass
class Idle:
    """Judges whether a direction has the intended effect."""

    steps: Steps
    verdicts: Verdicts
    unreversed: set[int] = field(default_factory=set)  # where the downgrade leaves changed rows

    def judge(
        self, position: int, up: bool, was: Snapshot, now: Snapshot, executed: list[str]
    ) -> None:
        """Judge a direction that has just run, from the state that it was written for."""
        revision = self.steps.order[position]
        if in_vain := self.in_vain(was):
            remedy = "the name that it has; or, where it may be missing: if_exists=True"
            return self._find(position, up, IN_VAIN, in_vain, remedy)
        if _is_declared(revision, up) or not self._is_idle(was, now, executed):
            return None
        record = self.steps.proof.revisions[position]
        if not up:  # where nothing is to be taken back, nothing is said
            if results.UP not in record.idle and any(
                map(changes_rows, not_rebuilding(record.upgrade))
            ):
                self.unreversed.add(position)
            return None
        details = [f"{s.call}: {s.reason}" for s in self.steps.skips]
        details += [f"{sql}{_meant(*_dropped(sql, was))}" for sql in executed if _guards(sql)]
        if self._may_be_of_server(revision):
            record.idle.append(results.UP)
            why = f"upgrade() {NOTHING} on {self._label}; another server has to be asked"
            record.checks[results.UP] = Outcome(results.NOT_JUDGED, why)
            return None
        remedy = f"what it is to do, in upgrade(), and its reverse in downgrade()\n{_EMPTY}"
        return self._find(position, up, NOTHING, details, remedy)

    def in_vain(self, was: Snapshot) -> list[str]:
        """Report drops by the last step's verbs that found nothing."""
        missing = [skip for skip in self.steps.skips if skip.is_missing and not _had(was, skip)]
        if not missing:
            return []
        tables = [thing.name for thing in was if thing.kind in ("table", "view")]
        lines = []
        for skip in missing:
            is_of_table = f"table {skip.table} is not there" in skip.reason
            meant = (skip.table, tables) if is_of_table else (skip.name, _alike(was, skip))
            lines.append(f"{skip.call}: {skip.reason}{_meant(*meant)}")
        return lines

    def judge_unreversed(self, position: int) -> None:
        """Judge a downgrade that did nothing, although the upgrade changed rows."""
        record = self.steps.proof.revisions[position]
        lost = record.checks.get(results.ROWS)
        if position not in self.unreversed:
            return
        if lost is None or lost.status in (results.PROVEN, results.NOT_JUDGED):
            what = f"{NOTHING}, and upgrade() changed rows"
            self._find(position, False, what, [], wording.TAKE_BACK)

    def _find(self, position: int, up: bool, what: str, details: list[str], remedy: str) -> None:
        problem = f"{running_name(up)} {what}"
        self.steps.proof.revisions[position].idle.append(_CHECKS[up])
        self.verdicts.find(_CHECKS[up], position, problem, details, remedy)

    def _is_idle(self, was: Snapshot, now: Snapshot, executed: Sequence[str]) -> bool:
        """Return whether a direction changed nothing, and queried nothing to decide on."""
        is_same = was == now  # much faster than to say how they differ
        done = map(acts, not_rebuilding(executed))
        if not is_same or any(done) or self.steps.recorder.failed:
            return False
        tables = {t.name.lower() for t in was if t.kind in ("table", "view")}
        return not any(tables & {*read_by(sql)} for sql in executed)

    def _may_be_of_server(self, revision: Script) -> bool:
        return any(skip.is_of_server for skip in self.steps.skips) or _names_server(revision)

    @property
    def _label(self) -> str:
        return server_of(self.steps.context.dialect.name).label


def agree(proofs: Sequence[Proof]) -> None:
    """Withdraw findings about a direction that has an effect on another server.

    A revision may be meant for one server alone.
    """
    for proof in proofs:
        for place, record in enumerate(proof.revisions):
            for check in sorted({*record.idle}):
                there = [
                    other.database
                    for other in proofs
                    if other.server.split()[:1] != proof.server.split()[:1]
                    and place < len(other.revisions)
                    and _works(other.revisions[place], check)
                ]
                if there:
                    _take_back(proof, record, check, there[0])


def _works(record: RevisionProof, check: str) -> bool:
    outcome = record.checks.get(check)
    is_done = outcome is not None and outcome.status in (results.PROVEN, results.EXCEPTED)
    return is_done and check not in record.idle


def _take_back(proof: Proof, record: RevisionProof, check: str, there: str) -> None:
    up = check == results.UP
    if check == results.DOWN and record.checks[check].why.endswith("changed rows"):
        return  # here the upgrade does something
    told = [f"{running_name(up)} {what}" for what in (IN_VAIN, NOTHING)]
    proof.findings = [
        found
        for found in proof.findings
        if (found.check, found.revision) != (check, record.id) or found.problem not in told
    ]
    if not any((f.check, f.revision) == (check, record.id) for f in proof.findings):
        why = f"it has nothing to do here, and does its work on {there}"
        record.checks[check] = Outcome(results.PROVEN, why)


# What the author declared, or asks


def _is_declared(revision: Script, up: bool) -> bool:
    """Return whether a revision may change nothing: it declares so, or merges others."""
    is_merge = isinstance(revision.down_revision, tuple | list)
    is_empty = isinstance(getattr(revision.module, "empty", None), str)
    return is_merge or is_empty or (not up and wording.declared(revision) is not None)


_SERVER = re.compile(r"postgresql|mysql|mariadb|sqlite|oracle|mssql", re.I)
_OF_SERVERS = re.compile(rf"dialect|psycopg|comment|Enum\b|{_SERVER.pattern}")


def _names_server(revision: Script) -> bool:
    """Return whether a revision's code names a server, or a feature that only some have."""
    path = Path(revision.path)
    if path.suffix != ".py":
        return False
    for node in ast.walk(ast.parse(path.read_bytes())):
        name = getattr(node, "id", None) or getattr(node, "attr", None) or ""
        is_server = isinstance(node, ast.Constant) and _SERVER.fullmatch(str(node.value))
        if is_server or _OF_SERVERS.search(str(name)):
            return True
    return False


# What was meant

_KINDS = {
    "constraint": ("unique", "check", "foreign key", "primary key", "exclusion"),
    "view": ("view", "materialized view"),
}


def _of_kind(snapshot: Snapshot, kind: str) -> Iterator[Thing]:
    kinds = _KINDS.get(kind, (kind,))
    return (thing for thing in snapshot if thing.kind in kinds)


def _alike(snapshot: Snapshot, skip: Skip) -> list[str]:
    """Return the names of the things of a kind; for a column, those of its table."""
    return [
        thing.name
        for thing in _of_kind(snapshot, skip.kind)
        if skip.kind != "column" or thing.owner.lower() == skip.table.lower()
    ]


def _had(snapshot: Snapshot, skip: Skip) -> bool:
    """Return whether an object existed before: then it was dropped with another one."""
    names = {name.lower() for name in _alike(snapshot, skip)}
    full = f"{skip.table.rpartition('.')[0]}.{skip.name}".lower()
    return bool(names & {skip.name.lower(), skip.name.lower()[:63], full, skip.table.lower()}) and (
        skip.kind != "column" or skip.name.lower() in names
    )


def _meant(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, [*names], 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""


_DROP = re.compile(
    r"\s*(?:ALTER\s+TABLE\s+\S+\s+)?DROP\s+(\w+)\s+(?:CONCURRENTLY\s+)?IF\s+EXISTS\s+([^\s(;]+)",
    re.I,
)
_GUARDED = re.compile(r"\s*(?:DROP|CREATE|ALTER)\b.*?\bIF\s+(?:NOT\s+)?EXISTS\b", re.I | re.S)


def _guards(sql: str) -> bool:
    return _GUARDED.match(sql) is not None


def _dropped(sql: str, snapshot: Snapshot) -> tuple[str, list[str]]:
    """Return what a guarded statement drops, and which objects of its kind existed."""
    match = _DROP.match(sql)
    if match is None:
        return "", []
    kind, tokens = match[1].lower(), code_tokens(match[2])
    return unquoted(tokens[-1]), [thing.name for thing in _of_kind(snapshot, kind)]
