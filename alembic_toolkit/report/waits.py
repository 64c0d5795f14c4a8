"""Who waits for each revision, as lines for a script."""

from __future__ import annotations

from collections.abc import Iterator

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Proof, Report, RevisionProof

_JUDGED = (results.PROVEN, results.FAULTY, results.EXCEPTED)


def waits(report: Report) -> dict[str, list[str]]:
    """Return the observations of each revision's upgrade, by its id."""
    return {one.id: [*_lines(proof, one)] for proof in report.proofs for one in proof.revisions}


def _lines(proof: Proof, one: RevisionProof) -> Iterator[str]:
    outcome, seen = one.checks.get(results.LOCKS), f"Locks, as seen on {proof.server}"
    if outcome is None or outcome.status not in _JUDGED:
        yield f"{seen}: not judged: {outcome.why if outcome else 'the revision was not run'}"
    elif not one.locks:
        yield f"{seen}: none on a table that was there before"
    else:
        yield f"{seen}:"
    for lock in one.locks:
        where = f"line {lock.line}: " if lock.line else ""
        yield f"  {where}{lock.statement}"
        waiting = "waits" if lock.who in (results.NOBODY, results.EVERYBODY) else "wait"
        yield f"    {lock.who} {waiting} for {lock.table}, {lock.how} ({lock.observed})"
