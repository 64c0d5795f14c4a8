"""What a round trip found: for each database, each revision, each check; values, no behaviour.

`roundtrip` makes them, `report` shows them, the pytest plugin makes one test of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# The checks, in the order in which they are shown.
GRAPH, SELF_CONTAINED = "graph", "self-contained"
UP, DOWN, UP_AGAIN, ROWS = "up", "down leaves no trace", "up again", "rows survive"
RERUN, CRASH, OFFLINE = "re-run", "crash", "offline"
MODELS, BASE = "models", "base"
OF_HISTORY = (GRAPH, SELF_CONTAINED)
OF_REVISION = (UP, DOWN, UP_AGAIN, ROWS, RERUN, CRASH, OFFLINE)
OF_DATABASE = (MODELS, BASE)
CHECKS = (*OF_HISTORY, *OF_REVISION, *OF_DATABASE)

# The outcomes of a check.
PROVEN = "proven"
FAULTY = "finding"  # there is a Finding that says what
EXCEPTED = "known exception"  # there is one that the project knows; `why` has its reason
DECLARED = "declared irreversible"
NOT_JUDGED = "not judged"  # `why` says why it could not be
NOT_REACHED = "not reached"  # a revision below it could not be run


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to write instead."""

    check: str
    database: str  # "postgresql", ...; empty for what was read from the files alone
    revision: str  # its id; empty for the whole history
    path: str  # its file, as the reader would type it
    problem: str  # one line
    details: tuple[str, ...] = ()  # what was left or lost, as a short diff
    remedy: str = ""  # what to write instead; may have several lines of code


@dataclass
class Outcome:
    """The outcome of one check."""

    status: str
    why: str = ""


@dataclass
class RevisionProof:
    """One revision on one database."""

    id: str
    path: str
    title: str
    parents: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()  # its depends_on, as ids
    checks: dict[str, Outcome] = field(default_factory=dict)  # of OF_REVISION, those asked for
    upgrade: list[str] = field(default_factory=list)  # the SQL that the server got
    downgrade: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # "up", "down", "up again", "looking"


@dataclass
class Proof:
    """One database."""

    database: str  # its name in the report: "sqlite", "postgresql", "mariadb-2", ...
    url: str  # without its password
    server: str = ""  # "PostgreSQL 16.2"
    revisions: list[RevisionProof] = field(default_factory=list)
    checks: dict[str, Outcome] = field(default_factory=dict)  # of OF_DATABASE
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # a table that could not be filled, ...
    seconds: float = 0.0
    error: str = ""  # why it could not run to its end


@dataclass
class Report:
    """The whole round trip."""

    config: str  # the configuration file
    revisions: int
    findings: list[Finding] = field(default_factory=list)  # of OF_HISTORY
    proofs: list[Proof] = field(default_factory=list)
    seconds: float = 0.0

    def all_findings(self) -> list[Finding]:
        """Return every finding, those of the files first."""
        return self.findings + [finding for proof in self.proofs for finding in proof.findings]

    @property
    def status(self) -> int:
        """Return the exit status: 0 proven, 1 findings, 2 something could not run."""
        if any(proof.error for proof in self.proofs):
            return 2
        return 1 if self.all_findings() else 0


@dataclass
class Running:
    """The step at hand."""

    position: int
    up: bool
    check: str  # which one it is part of
    silent: bool = False  # it only leads to the step that is proven
