"""Machine-readable output of every command: a list of findings, and the command's other results.

`findings.schema.json`, beside this file, is the schema of all of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from alembic_toolkit.prove.results import Finding, Report
from alembic_toolkit.report.findings import summary_of

VERSION = 2


def document(command: str, status: int, findings: Iterable[Finding], **more: Any) -> str:
    """Return a command's results as JSON in plain ASCII.

    ``version`` is 2: keys may be added, but none is renamed or removed before version 3. ``status``
    is the exit status. Keys without a value are present and empty; a set is a sorted list.

    :param more: the command's other results, by key.
    """
    values = {"version": VERSION, "command": command, "status": status}
    found = [dataclasses.asdict(one) for one in findings]
    return json.dumps(values | {"findings": found} | more, indent=1, default=sorted) + "\n"


def to_json(report: Report, command: str = "roundtrip") -> str:
    """Return the report as JSON.

    ``findings`` and ``warnings`` are those of the files and of all databases, ``verdict`` is the
    last line of the text. All other keys are those of the classes in `prove.results`: ``config``,
    ``revisions`` (their number), ``seconds`` and ``proofs``, one for each database, with its own
    ``revisions``, ``checks``, ``notes`` and ``error``.
    """
    values = dataclasses.asdict(report)
    del values["findings"]
    for proof in values["proofs"]:
        del proof["findings"], proof["warnings"]
    warnings = [dataclasses.asdict(one) for one in report.all_warnings()]
    more = {"verdict": summary_of(report), "warnings": warnings} | values
    return document(command, report.status, report.all_findings(), **more)
