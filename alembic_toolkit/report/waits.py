"""Who waits for each statement of a revision, for a script."""

from __future__ import annotations

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Lock, Proof, Report, RevisionProof

_JUDGED = (results.PROVEN, results.FAULTY, results.EXCEPTED)


def waits(report: Report) -> dict[str, dict[int, list[tuple[str, str]]]]:
    """Return the observations of each revision's upgrade: by its id, and by the line of its file.

    Each is a statement and who waits for it; line 0 has what is to be said of the revision.
    """
    found: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for proof in report.proofs:
        for one in proof.revisions:
            lines = found.setdefault(one.id, {})
            lines.setdefault(0, []).append(("", _heading(proof, one)))
            for lock in one.locks:
                lines.setdefault(lock.line, []).append((lock.statement, _said(lock)))
    return found


def _heading(proof: Proof, one: RevisionProof) -> str:
    outcome, seen = one.checks.get(results.LOCKS), f"Locks, as seen on {proof.server}"
    if outcome is None or outcome.status not in _JUDGED:
        return f"{seen}: not judged: {outcome.why if outcome else 'the revision was not run'}"
    return f"{seen}: {'see below' if one.locks else 'none on a table that was there before'}"


def _said(lock: Lock) -> str:
    waiting = "waits" if lock.who in (results.NOBODY, results.EVERYBODY) else "wait"
    return f"{lock.who} {waiting} for {lock.table}, {lock.how} ({lock.observed})"
