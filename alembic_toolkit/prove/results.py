"""The results of a round trip for each database, revision and check: values without behavior.

`roundtrip` makes them, `report` shows them, the pytest plugin makes one test of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alembic_toolkit import exits

# The checks, in the order in which they are shown.
GRAPH, SELF_CONTAINED = "graph", "self-contained"
UP, DOWN, UP_AGAIN, ROWS = "up", "down leaves no trace", "up again", "rows survive"
RERUN, CRASH, OFFLINE, LOCKS = "re-run", "crash", "offline", "locks"
OLD_CODE = "old-code"
MODELS, BASE = "models", "base"
OF_HISTORY = (GRAPH, SELF_CONTAINED)
OF_REVISION = (UP, DOWN, UP_AGAIN, ROWS, RERUN, CRASH, OFFLINE, LOCKS, OLD_CODE)
OF_DATABASE = (MODELS, BASE)
CHECKS = (*OF_HISTORY, *OF_REVISION, *OF_DATABASE)

# What is no check, and warned of: a step that goes wrong only where SQLite enforces foreign keys.
FOREIGN_KEYS = "foreign keys"

# The outcomes of a check.
PROVEN = "proven"
FAULTY = "finding"  # there is a Finding that says what
WARNED = "warning"  # there is a warning, a Finding too, that says what; it is counted apart
EXCEPTED = "known exception"  # there is one that the project knows; `why` has its reason
DECLARED = "declared irreversible"
NOT_JUDGED = "not judged"  # `why` says why it could not be
NOT_REACHED = "not reached"  # a revision below it could not be run


@dataclass(frozen=True)
class Finding:
    """One problem, and what to write instead."""

    check: str
    database: str  # "postgresql", ...; empty for what was read from the files alone
    revision: str  # its id; empty for the whole history
    path: str  # its file, as the reader would type it
    problem: str  # one line
    details: tuple[str, ...] = ()  # what was left or lost, as a short diff
    remedy: str = ""  # what to write instead; may have several lines of code
    line: int = 0  # of the file, where it is known


@dataclass
class Outcome:
    """The outcome of one check."""

    status: str
    why: str = ""


# Who waits for a lock, and how long.
NOBODY, DEPLOYERS, WRITERS, EVERYBODY = "nobody", "other deployers only", "writers", "everybody"
MOMENT, READ, COPIED = "a moment", "while all rows are read", "while all rows are copied"
END = "until the transaction ends"


@dataclass(frozen=True)
class Lock:
    """The effect of one statement of a revision on one existing table."""

    path: str
    line: int
    statement: str
    table: str
    who: str  # waits
    how: str  # long
    observed: str  # the mode, the rows, ...


# In which order a revision and the code that is written for it can be deployed.
ANY_ORDER = "any order"
MIGRATE_FIRST, DEPLOY_FIRST = "migrate, then deploy", "deploy, then migrate"
NEITHER = "neither: expand and contract, or a window"


@dataclass(frozen=True)
class Breaks:
    """A statement of the code for one schema that fails on the other."""

    code: str  # "old": written for the schema below, and run above; or "new"
    table: str
    statement: str  # with long texts cut
    error: str  # the server's own words


@dataclass(frozen=True)
class Order:
    """Whose code a revision breaks, and so when it must be deployed."""

    verdict: str
    breaks: tuple[Breaks, ...] = ()  # of each table and error one
    declared: str = ""  # "before" or "after": when the module says that the code is deployed
    line: int = 0  # of that, or of upgrade()


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
    idle: list[str] = field(default_factory=list)  # UP, DOWN: what changed nothing, or not all
    locks: list[Lock] = field(default_factory=list)  # of the upgrade, where LOCKS is asked for
    order: Order | None = None  # where OLD_CODE is asked for, and could be judged


@dataclass
class Proof:
    """One database."""

    database: str  # its name in the report: "sqlite", "postgresql", "mariadb-2", ...
    url: str  # without its password
    server: str = ""  # "PostgreSQL 16.2"
    revisions: list[RevisionProof] = field(default_factory=list)
    checks: dict[str, Outcome] = field(default_factory=dict)  # of OF_DATABASE
    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)  # which do not count as findings
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
    question: list[str] = field(default_factory=list)  # checks that must all be judged

    def all_findings(self) -> list[Finding]:
        """Return every finding, those of the files first."""
        return self.findings + [finding for proof in self.proofs for finding in proof.findings]

    def all_warnings(self) -> list[Finding]:
        """Return every warning; they leave the exit status as it is."""
        return [warning for proof in self.proofs for warning in proof.warnings]

    @property
    def status(self) -> int:
        """Return the exit status: proven, findings, or something could not run."""
        found = self.all_findings()
        judged = not any(proof.error for proof in self.proofs)
        return exits.of_all([not found], judged=judged and bool(found or not self.unanswered))

    @property
    def unanswered(self) -> bool:
        """Return whether what was asked for could not be judged of some revision."""
        return any(
            check in one.checks and one.checks[check].status == NOT_JUDGED
            for proof in self.proofs
            for one in proof.revisions
            for check in self.question
        )


@dataclass
class Running:
    """The current step."""

    position: int
    up: bool
    check: str  # which one it is part of
    silent: bool = False  # it only leads to the step that is proven
