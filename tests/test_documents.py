"""The documents are true: each command and each block of code in them is run, in order.

Each section of a page begins in a fresh clone without a database, as its reader does. The README is
one session from its first line to its last.

- ``console``: a line that begins with ``$ `` is a command, and what follows is all that it prints;
  ``...`` stands for anything, and what Alembic says of its context may be left out. A command
  without output must succeed. ``cd`` and ``export`` last until the section ends.
- ``python`` with ``upgrade()`` or ``downgrade()``: the end of the revision that the commands above
  have made; without one, of a new revision on a database at head. With ``run(context``: the
  ``env.py`` of the project at hand; in the clone, of a project of its own, whose models are in
  ``myapp.models``; with ``target_metadata`` it passes ``alembic check``. With ``def roundtrip_``:
  a ``conftest.py`` for `pytest --roundtrip`. Any other runs inside a revision.
- ``toml``: settings, which must be read.
- A name in braces, such as ``{toctree}``: not for the reader, but for what builds the site.
"""

from __future__ import annotations

import ast
import re
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import isfunction, signature
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import alembic_helpers as helpers
from alembic_toolkit.database import products
from alembic_toolkit.project import pyproject
from alembic_toolkit.prove import results, settings
from tests import databases, test_comparison
from tests.copies import ROOT, Copy, Outcome, copy_repository, run

PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
PAGES += sorted((ROOT / "docs").glob("**/*.md"))
START, WRITE, MESSAGES = (ROOT / "docs" / f"{name}.md" for name in ("start", "write", "messages"))
ONE_SESSION = {"README.md"}

# Pages that tests/helpers/test_verbs_page.py and tests/test_adopt.py run.
ELSEWHERE = {"verbs.md", "adopt.md"}

# Commands that are run in another form.
HARMLESS = [
    # They run this very test too, or fetch much.
    (r"scripts/(test --all|servers)( .*)?", "sh -n scripts/test && sh -n scripts/servers"),
    # It would run this very test; collecting shows that the files and options are right.
    (r"scripts/test( .*)?", r"scripts/test\1 --collect-only -q"),
    # It runs this very test too, and scripts/docs.
    (r"scripts/(check|docs)( .*)?", r"sh -n scripts/\1"),
    # tests/test_demo.py runs it, twice; it takes five seconds.
    (r"scripts/demo", "sh -n scripts/demo"),
    # tests/test_release.py runs it.
    (r"scripts/release", "sh -n scripts/release"),
]

MAY_BE_LEFT_OUT = re.compile(r"INFO  (Context impl|Will assume) .*\n")

# What alembic.op has too, and needs no words on the page.
NOT_VERBS = {"f", "get_bind", "get_context", "inline_literal"}

# The words that a line of the changelog may begin with.
ORDERS = "Add|Allow|Change|Deprecate|Document|Drop|Fix|Keep|Make|Move|Raise|Read|Refuse|Remove"
ORDERS += "|Rename|Replace|Report|Require|Say|Stop|Support|Use|Begin|Call|Find|Fold|Forget"
ORDERS += "|Ask|Compare|Confirm|Do|End|Fill|Give|Hold|Know|Leave|Let|Lock|See|Validate|Work"
ORDERS += "|Count|Judge|Log|Look|Number|Open|Remember|Run|Show|Start|Take|Tell|Try|Warn|Write"
ORDERS += "|Build|List|Name"


# Reading a page


@dataclass
class Block:
    """A fenced block of a page."""

    page: str
    line: int  # of the first line within the fences
    fence: str
    language: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass
class Section:
    """What a reader does in a clone: the blocks below one heading."""

    page: str
    heading: str
    blocks: list[Block] = field(default_factory=list)


def read(path: Path, text: str) -> tuple[list[Section], str]:
    """Return the sections of a page, and its prose with every block blanked."""
    page = str(path.relative_to(ROOT))
    sections, block, prose = [Section(page, "top")], None, []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = re.fullmatch(r" *(`{3,}|~{3,})\s*(.*)", line)
        if fence and block is None:
            block = Block(page, number + 1, fence[1], fence[2])
        elif fence and block is not None and fence[1] == block.fence:
            block.text = textwrap.dedent(block.text)
            if not block.language.startswith("{"):
                sections[-1].blocks.append(block)
            block = None
        elif block is not None:
            block.text += f"{line}\n"
        elif line.startswith("## ") and page not in ONE_SESSION:
            sections.append(Section(page, line[3:]))
        prose.append("" if fence or block else line)
    assert block is None, f"{block}: the block has no end"
    return sections, "\n".join(prose)


def prose(path: Path) -> str:
    return read(path, path.read_text(encoding="utf-8"))[1]


SECTIONS = [
    section
    for path in PAGES
    for section in read(path, path.read_text(encoding="utf-8"))[0]
    if section.blocks and path.name not in ELSEWHERE
]


# Running its blocks


@dataclass
class Reader:
    """Somebody who types what a section says, in a clone."""

    copy: Copy
    head: Path  # a database at head, to be copied
    directory: Path = field(init=False)
    revisions: dict[Path, set[Path]] = field(default_factory=dict)  # those that no block is for

    def __post_init__(self) -> None:
        self.directory = self.copy.directory
        self.revisions[self.directory] = self.find_revisions()

    def run(self, block: Block) -> None:
        if block.language == "console":
            self.type_commands(block)
        elif block.language == "python" and re.search(r"^def (up|down)grade\(", block.text, re.M):
            self.write_revision(block)
        elif block.language == "python" and "run(context" in block.text:
            self.write_env(block)
        elif block.language == "python" and "def roundtrip_" in block.text:
            self.write_conftest(block)
        elif block.language == "toml":
            self.read_settings(block)
        elif block.language == "python":
            self.run_in_revision(block)
        else:
            pytest.fail(f"{block}: nothing here can run a block of {block.language or 'what?'}")

    def type_commands(self, block: Block) -> None:
        for line, command, expected in commands(block):
            is_demo = command == "scripts/demo" and block.page in ONE_SESSION
            outcome = self.type(command if is_demo else served(harmless(command)))
            said = f"{block.page}:{line}: $ {command}\n{outcome.printed}"
            if not expected:
                assert outcome.status == 0, f"{said}exit status {outcome.status}"
            elif not matches(expected, outcome.printed):
                pytest.fail(f"{said}--- but the page says:\n{expected}")

    def type(self, command: str) -> Outcome:
        """Run a command where the last one ended, with what was exported."""
        state, place = (self.copy.directory.parent / name for name in ("session.sh", "place"))
        before = f". '{state}'\n" if state.exists() else ""
        after = f"""trap 'export -p >"{state}"; pwd >"{place}"' EXIT\n"""
        outcome = run(before + after + command, self.directory, 120, **self.copy.variables())
        self.directory = Path(place.read_text(encoding="utf-8").rstrip("\n"))
        return outcome

    def find_revisions(self) -> set[Path]:
        return {*(self.directory / "migrations" / "versions").glob("*.py")}

    def write_revision(self, block: Block) -> None:
        known = self.revisions.setdefault(self.directory, set())
        if not self.find_revisions() - known:
            shutil.copy(self.head, self.directory / "bills.db")
            outcome = self.type('alembic revision -m "Add a note to bills"')
            assert outcome.status == 0, f"{block}: {outcome.printed}"
        [path] = self.find_revisions() - known
        first = re.search(r"^def \w+\(", block.text, re.MULTILINE)
        assert first is not None
        frame = path.read_text(encoding="utf-8").partition(first[0])[0]
        path.write_text(frame + block.text, encoding="utf-8")

    def write_env(self, block: Block) -> None:
        if self.directory != self.copy.directory:
            path = self.directory / "migrations" / "env.py"
            assert path.exists(), f"{block}: no project was begun by `alembic init migrations`"
            path.write_text(block.text, encoding="utf-8")
        else:
            self.try_env(block)

    def try_env(self, block: Block) -> None:
        project = self.copy.directory.parent / f"line-{block.line}"
        project.mkdir()

        def succeed(command: str) -> str:
            outcome = run(command, project, 120, PYTHONPATH=f"{project}:{self.copy.directory}")
            assert outcome.status == 0, f"{block}: $ {command}\n{outcome.printed}"
            return outcome.printed

        succeed("alembic init migrations")
        (project / "migrations" / "env.py").write_text(block.text, encoding="utf-8")
        ini = (project / "alembic.ini").read_text(encoding="utf-8")
        ini = ini.replace("driver://user:pass@localhost/dbname", "sqlite:///my.db")
        (project / "alembic.ini").write_text(ini, encoding="utf-8")
        (project / "myapp").mkdir()
        (project / "myapp" / "models.py").write_text(MODELS, encoding="utf-8")
        succeed("alembic revision --rev-id 0001 -m test")
        [revision] = (project / "migrations" / "versions").glob("*.py")
        revision.write_text(REVISION, encoding="utf-8")
        succeed("alembic upgrade head")
        assert "0001 (head)" in succeed("alembic current"), block
        if "target_metadata" in block.text:
            succeed("alembic check")
        succeed("alembic downgrade base")
        assert "0001" not in succeed("alembic current"), block

    def write_conftest(self, block: Block) -> None:
        (self.copy.directory / "conftest.py").write_text(block.text, encoding="utf-8")
        outcome = self.copy.run("pytest --roundtrip alembic.ini -q -k 'sqlite and up and 0002'")
        assert outcome.status == 0, f"{block}: {outcome.printed}"

    def read_settings(self, block: Block) -> None:
        project = self.copy.directory.parent / f"line-{block.line}"
        project.mkdir()
        (project / "pyproject.toml").write_text(block.text, encoding="utf-8")
        ini = project / "alembic.ini"
        others = pyproject.databases(ini) or pyproject.ignored(ini)
        assert settings.read(ini) != settings.Settings() or others, block

    def run_in_revision(self, block: Block) -> None:
        database = self.copy.directory.parent / "in-a-revision.db"
        if not database.exists():
            shutil.copy(self.head, database)
        engine = sa.create_engine(f"sqlite:///{database}", poolclass=sa.NullPool)
        # Blank lines first, so that a traceback names the line of the page.
        code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
        with engine.begin() as connection:
            context = MigrationContext.configure(connection)
            with Operations.context(context):
                exec(code, {"helpers": helpers, "sa": sa})


MODELS = """\
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    pass


sa.Table("notes", Base.metadata, sa.Column("id", sa.Integer, primary_key=True))
"""
REVISION = '''\
"""Create notes."""

import sqlalchemy as sa

import alembic_helpers as helpers

revision = "0001"
down_revision = None


def upgrade():
    helpers.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    helpers.drop_table("notes")
'''


def commands(block: Block) -> Iterator[tuple[int, str, str]]:
    """Give each command of a console block: its line, itself, the output shown."""
    assert block.text.startswith("$ "), f"{block}: does not begin with a command"
    line = block.line
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield line, command, output
        line += part.count("\n")


def harmless(command: str) -> str:
    for pattern, replacement in HARMLESS:
        if match := re.fullmatch(pattern, command):
            return match.expand(replacement)
    return command


SERVED = re.compile(r"\b(postgresql|mariadb)\+\w+://\w+@localhost/\w+")


def served(command: str) -> str:
    """Replace an empty database of the reader's by one of ours."""
    return SERVED.sub(lambda match: f"'{databases.new_database(match[1]).url}'", command)


def matches(expected: str, printed: str) -> bool:
    """Compare what a page shows with what a command printed."""
    if not MAY_BE_LEFT_OUT.search(expected):
        printed = MAY_BE_LEFT_OUT.sub("", printed)
    pattern = re.escape(expected.rstrip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, printed.rstrip(), re.DOTALL) is not None


# The blocks


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bring the example's database to head, once for all pages."""
    copy = copy_repository(tmp_path_factory.mktemp("head") / "clone")
    outcome = copy.run("alembic upgrade head")
    assert outcome.status == 0, outcome.printed
    return copy.directory / "bills.db"


@pytest.mark.parametrize(
    "section", SECTIONS, ids=lambda section: f"{section.page}: {section.heading}"
)
def test_section_does_what_it_says(section: Section, head: Path, tmp_path: Path) -> None:
    reader = Reader(copy_repository(tmp_path / "alembic-toolkit"), head)
    for block in section.blocks:
        reader.run(block)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_has_no_code_without_fences(path: Path) -> None:
    indented = re.findall(r"\n *\n((?: {4}|\t).+)", prose(path))
    commands = re.findall(r"^ *\$ .*", prose(path), re.MULTILINE)
    assert indented + commands == []


# What a page names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_links_to_files_that_exist(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose(path))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_links_to_headings_that_exist(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", prose(path))
    dead = []
    for target, anchor in links:
        text = prose(path.parent / target if target else path)
        headings = re.findall(r"^#+ (.+)", text, re.MULTILINE)
        anchors = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
        }
        dead += [] if anchor in anchors else [f"{target}#{anchor}"]
    assert dead == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_names_files_that_exist(path: Path) -> None:
    entries = {entry.name for entry in ROOT.iterdir()} - {".github"}  # the reader has one, too
    words = {word for code in inline_code(path) for word in code.split()}
    named = {word for word in words if "/" in word and word.partition("/")[0] in entries}
    assert {word for word in named if not (ROOT / word).exists()} == set()


def test_contributing_names_rooms_that_exist() -> None:
    toolkit = ROOT / "alembic_toolkit"
    entries = {entry.name for entry in toolkit.iterdir() if entry.is_dir()}
    named = set()
    for word in (word for code in inline_code(ROOT / "CONTRIBUTING.md") for word in code.split()):
        path = word.replace("<server>", "postgresql").replace("<kind>", "column")
        if (
            "/" in path
            and path.partition("/")[0] in entries
            and not re.search("cockroachdb|mssql", path)
        ):
            named.add(path)
    assert named
    assert {path for path in named if not (toolkit / path).exists()} == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_names_helpers_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {*re.findall(r"\bhelpers\.(\w+)", text)} - {"py"}
    named |= {name for name in inline_code(path) if re.fullmatch(r"\w+_exists|table_has_\w+", name)}
    verbs = [getattr(helpers, name) for name in helpers.__all__]
    keywords = {key for verb in verbs if isfunction(verb) for key in signature(verb).parameters}
    assert named - {*helpers.__all__} - keywords == set()


def test_table_names_the_servers_that_a_refusal_names() -> None:
    rows = re.findall(r"^\| (\w+) \| (.+) \| (.+) \|$", START.read_text("utf-8"), re.M)
    named = {
        name: {*re.findall(r"\b\d+(?:[.]\d+)?\b", re.sub(r"\(.*?\)", "", f"{all_} {main}"))}
        for name, all_, main in rows
    }
    for server in ("PostgreSQL", "MariaDB", "MySQL"):
        texts = [text for text in products.TESTED.values() if server in text]
        [said] = [re.search(rf"{server} (\d[\d., and]*)", text) for text in texts]
        assert said is not None
        assert {*re.findall(r"\d+(?:[.]\d+)?", said[1])} == named[server]


def inline_code(path: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(path))


# README


def test_readme_shows_code_by_line_12() -> None:
    assert SECTIONS[0].page == "README.md"
    assert SECTIONS[0].blocks[0].line - 1 <= 12


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


def test_each_row_of_the_comparison_is_tried() -> None:
    rows = re.findall(r"^\| ([A-Z].*?) \|.*\| (?:skips|stops|builds|the second|finding)",
                      prose(ROOT / "README.md"), re.MULTILINE)  # fmt: skip
    tests = [test for name, test in vars(test_comparison).items() if name.startswith("test_")]
    assert [f"{row}." for row in rows] == [test.__doc__ for test in tests]
    assert len(rows) == 8


# The verbs


def test_table_has_the_verbs_that_exist() -> None:
    rows = re.findall(r"^\| (`.*?) \|", prose(WRITE), re.MULTILINE)
    verbs = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert verbs
    assert verbs - {*helpers.__all__} == set()


def test_page_names_every_verb_and_question() -> None:
    named = {name for code in inline_code(WRITE) for name in re.findall(r"^\w+", code)}
    public = {name for name in helpers.__all__ if name.islower()} - NOT_VERBS
    assert public - named == set()


def test_each_check_is_explained() -> None:
    rows = re.findall(r"^\| `([a-z -]+)`", prose(ROOT / "docs" / "roundtrip.md"), re.MULTILINE)
    assert sorted(rows) == sorted(results.CHECKS)


# Trouble, by message


def literals() -> set[str]:
    """Return each text of the toolkit's source, with an ellipsis in place of each value."""
    found = set()
    for path in (ROOT / "alembic_toolkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in node.values]
                texts = [part if isinstance(part, str) else "…" for part in parts]
                found.add("".join(texts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_each_message_is_one_of_the_sources() -> None:
    messages = re.findall(r"^### `(.+)`$", prose(MESSAGES), re.MULTILINE)
    assert len(messages) > 30
    known = "\n".join(literals())
    assert [message for message in messages if message not in known] == []


# CHANGELOG


def test_changelog_has_dated_versions() -> None:
    headings = re.findall(r"^##? .*", prose(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert headings.pop(0) == "# Changelog"
    if headings[0] == "## Unreleased":
        headings.pop(0)
    dated = r"## \d+\.\d+\.\d+\w* \(\d{4}-\d\d-\d\d\)"
    assert [heading for heading in headings if not re.fullmatch(dated, heading)] == []


# What a version of the changelog may be divided into, in this order: keepachangelog.com.
GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def misplaced(changelog: str) -> list[str]:
    """Return what is wrong with the groups of a changelog; a version may have none."""
    wrong = []
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        version, *groups = re.split(r"^### ", part, flags=re.MULTILINE)
        name = version.partition("\n")[0]
        names = [group.partition("\n")[0] for group in groups]
        if names != [group for group in GROUPS if group in names]:
            wrong.append(f"{name}: {', '.join(names)}")
        if groups and re.search(r"^- ", version, re.MULTILINE):
            wrong.append(f"{name}: lines above the first group")
        wrong += [f"{name}: {group!r} is empty" for group in groups if "\n- " not in group]
    return wrong


def test_changelog_is_grouped_or_not() -> None:
    assert misplaced(prose(ROOT / "CHANGELOG.md")) == []
    right = "### Added\n\n- Add a.\n\n### Fixed\n\n- Say b.\n"
    assert misplaced(f"# Changelog\n\n## 0.2.0\n\n- Add c.\n\n## 0.1.0\n\n{right}") == []
    for wrong, said in (
        ("### Fixed\n\n- Say b.\n\n### Added\n\n- Add a.\n", "0.1.0: Fixed, Added"),
        ("### Other\n\n- Add a.\n", "0.1.0: Other"),
        (f"- Add c.\n\n{right}", "0.1.0: lines above the first group"),
        ("### Added\n", "0.1.0: 'Added\\n' is empty"),
    ):
        assert misplaced(f"## 0.1.0\n\n{wrong}") == [said]


def test_changelog_lines_begin_with_a_verb() -> None:
    lines = prose(ROOT / "CHANGELOG.md").splitlines()
    assert lines
    wrong = [line for line in lines if not re.match(rf"$|##?#? |- ({ORDERS}) |  \S", line)]
    assert wrong == []
