"""A report for machines."""

from __future__ import annotations

import dataclasses
import json

from alembic_toolkit.prove.results import Report
from alembic_toolkit.report.findings import summary_of


def to_json(report: Report) -> str:
    """Return the report as JSON in plain ASCII.

    ``version`` is 1: keys are added without notice, none is renamed or removed before it is 2.
    ``status`` is the exit status, ``verdict`` the last line of the text.  All other keys are those
    of the classes in `prove.results`: ``config``, ``revisions`` (their number), ``seconds``,
    ``findings`` (of the files) and ``proofs``, one for each database, with its own ``revisions``,
    ``checks``, ``findings``, ``warnings``, ``notes`` and ``error``.  What did not happen is there
    and empty; a set is a sorted list.
    """
    values = {"version": 1, "status": report.status, "verdict": summary_of(report)}
    return json.dumps(values | dataclasses.asdict(report), indent=1, default=sorted) + "\n"
