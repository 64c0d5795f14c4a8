"""The command line itself: help, exit statuses, and the name of the command in its errors."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from alembic_toolkit import cli, exits
from alembic_toolkit.project import since
from alembic_toolkit.project.env import read_config
from alembic_toolkit.usage import USAGES
from tests.copies import ROOT
from tests.toolkit.conftest import Outcome, Project
from tests.toolkit.fleets import made
from tests.toolkit.machines import validator

# What a command needs beside its configuration, to begin at all.
NEEDED = {
    "rebase": ["migrations/versions/0001_test.py"],
    "upgrade": ["--url=one=sqlite:///one.db"],
    "downgrade": ["base", "--url=one=sqlite:///one.db"],
}
every_command = pytest.mark.parametrize("name", cli._ADD)


def run(*argv: str) -> Outcome:
    """Run `alembic-toolkit` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(argv)
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


def parser_of(name: str) -> argparse.ArgumentParser:
    parser = cli._parser()
    [commands] = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    found: argparse.ArgumentParser = commands.choices[name]
    return found


# Help


@every_command
def test_help_has_a_sentence_examples_and_exit_statuses(name: str) -> None:
    text = parser_of(name).format_help()
    usage, about, rest = text.split("\n\n", 2)
    assert usage.startswith(f"usage: alembic-toolkit {name} ")
    assert re.fullmatch(r"[A-Z].*\.", about, re.DOTALL), about
    examples = rest.partition("\nexamples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    for line in examples:
        program, *argv = shlex.split(line.partition(" > ")[0])
        assert (program, argv[0]) == ("alembic-toolkit", name)
        assert cli._parser().parse_args(argv).command == name
    told = re.findall(r"^  (\d+) +(\S.*)$", rest.partition("\nexit status:\n")[2], re.MULTILINE)
    assert {int(number) for number, _ in told} == {*USAGES[name].statuses}


def test_help_of_every_command_is_there() -> None:
    assert {*USAGES} == {*cli._ADD}
    assert run("--help").status == exits.FINE


@every_command
def test_help_explains_every_option(name: str) -> None:
    for action in parser_of(name)._actions:
        assert action.help, action.option_strings


# Exit statuses


@every_command
def test_status_is_2_when_the_command_cannot_be_read(name: str) -> None:
    outcome = run(name, "--no-such-option")
    assert outcome.status == exits.UNKNOWN in USAGES[name].statuses
    assert f"\nalembic-toolkit {name}: error: " in outcome.err


@every_command
def test_status_is_2_when_there_is_no_history_and_the_error_names_the_command(
    name: str, tmp_path: Path
) -> None:
    outcome = run(name, *NEEDED.get(name, []), "-c", str(tmp_path / "alembic.ini"))
    assert outcome.status == exits.UNKNOWN
    assert outcome.err.startswith(f"alembic-toolkit {name}: there is no ")
    assert f"name it: alembic-toolkit {name} -c path/to/alembic.ini" in outcome.err
    assert not outcome.out


def interrupted(path: Path, send: Callable[[], None], *argv: str) -> Outcome:
    """Run a command that waits for its configuration, and gets a signal."""
    os.mkfifo(path)

    def signalled() -> None:
        with path.open("w"):  # which waits for the reader
            send()
            ended.wait(60)

    ended = threading.Event()
    thread = threading.Thread(target=signalled)
    thread.start()
    try:
        return run(*argv, "-c", str(path))
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, exits.INTERRUPTED), (signal.SIGTERM, exits.TERMINATED)],
)
@every_command
def test_status_says_which_signal_ended_it(
    name: str, number: signal.Signals, status: int, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main = threading.main_thread().ident
    assert main is not None
    try:
        outcome = interrupted(
            tmp_path / "alembic.ini",
            lambda: signal.pthread_kill(main, number),
            name,
            *NEEDED.get(name, []),
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome == Outcome(status, "", f"alembic-toolkit {name}: interrupted\n")
    assert status in USAGES[name].statuses


UNREACHABLE = "sqlite:////no/such/directory/one.db"


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["check"], 0),
        (["sql", "--dialect=postgresql"], 0),
        (["status", "--url={head}"], 0),
        (["status", "--url={behind}"], 1),
        (["status", "--url=" + UNREACHABLE], 2),
        (["upgrade", "--url={head}"], 0),
        (["upgrade", "--url=" + UNREACHABLE], 1),
        (["upgrade", "--dry-run", "--url={behind}"], 0),
        (["upgrade", "--dry-run", "--url=" + UNREACHABLE], 2),
        (["downgrade", "base", "--url={head}"], 0),
        (["downgrade", "base", "--dry-run", "--url={head}"], 0),
        (["downgrade", "base", "--url=" + UNREACHABLE], 1),
        (["downgrade", "base", "--dry-run", "--url=" + UNREACHABLE], 2),
        (["journal", "--url={head}"], 0),
        (["journal", "--url=" + UNREACHABLE], 2),
        (["where", "--url={head}"], 0),
        (["verify", "--url={head}"], 2),
        (["verify", "--url=" + UNREACHABLE], 2),
        (["adopt", "--url={head}"], 0),
        (["adopt", "--url=" + UNREACHABLE], 2),
        (["where", "--url=" + UNREACHABLE], 2),
        (["rebase", "migrations/versions/0001_test.py"], 2),
        (["roundtrip"], 0),
        (["roundtrip", "--url=" + UNREACHABLE], 2),
        (["locks"], 0),
    ],
)
def test_status_is_the_same_for_the_same(
    argv: list[str], status: int, offline: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.table("0001")
    monkeypatch.chdir(offline.directory)
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("head", "behind")}
    if "{head}" in argv[-1]:
        assert run("upgrade", f"--url={urls['head']}").status == exits.FINE
    if "{behind}" in argv[-1]:
        offline.table("0002", "0001")
        assert run("upgrade", "0001", f"--url={urls['behind']}").status == exits.FINE
    outcome = run(*(one.format(**urls) for one in argv))
    assert outcome.status == status, outcome
    assert status in USAGES[argv[0]].statuses


def test_status_is_1_when_there_is_a_finding(
    offline: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.table("0001", downgrade="pass")
    offline.revision("0002", "0009")
    monkeypatch.chdir(offline.directory)
    assert run("check").status == exits.FOUND


# What machines read


@pytest.mark.parametrize(
    ("argv", "checks", "status"),
    [
        (["status", "--url=db={behind}"], ["behind"], 1),
        (["status", "--url=db={other}"], ["revision"], 1),
        (["status", "--url=db=" + UNREACHABLE], [], 2),
        (["journal", "--url=db={behind}"], [], 0),
        (["upgrade", "--url=db={behind}"], [], 0),
        (["upgrade", "--url=db=" + UNREACHABLE], ["failed"], 1),
        (["downgrade", "0002", "--dry-run", "--url=db={behind}"], ["would be refused"], 1),
        (["verify", "--url=db={behind}"], [], 2),
        (["where", "--url=db={behind}"], [], 0),
        (["where", "--url=db={other}"], ["where"], 1),
        (["roundtrip"], ["down leaves no trace"], 1),
        (["locks", "--format=json"], [], 0),
    ],
)
def test_json_of_every_command_has_its_findings_in_one_list(
    argv: list[str],
    checks: list[str],
    status: int,
    offline: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offline.table("0001")
    offline.table("0002", "0001", downgrade="op.execute('SELECT 1')")
    monkeypatch.chdir(offline.directory)
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("behind", "other")}
    for name, url in urls.items():
        if name in argv[-1]:
            assert run("upgrade", "0001", f"--url={url}").status == exits.FINE
    if "{other}" in argv[-1]:
        with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0009'")
            connection.commit()
    json_ = [] if argv[0] == "locks" else ["--json"]
    outcome = run(*(one.format(**urls) for one in argv), *json_)
    values = json.loads(outcome.out)
    assert [*validator().iter_errors(values)] == []
    assert (values["command"], values["status"]) == (argv[0], outcome.status)
    assert [one["check"] for one in values["findings"]] == checks
    assert outcome.status == status


def test_schema_takes_no_finding_of_another_shape() -> None:
    finding = {"check": "behind", "problem": "it is behind"}
    values = {"version": 2, "command": "status", "status": 1, "databases": []}
    errors = [*validator().iter_errors(values | {"findings": [finding]})]
    assert {error.validator for error in errors} == {"required"}
    assert [*validator().iter_errors(values | {"findings": []})]  # and status 1


# Which revisions


@pytest.fixture
def four(offline: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project of four revisions, the second of which leaves its table behind."""
    offline.table("0001")
    offline.table("0002", "0001", downgrade="op.execute('SELECT 1')")
    offline.table("0003", "0002")
    offline.table("0004", "0003")
    monkeypatch.chdir(offline.directory)
    return offline


def rows(outcome: Outcome) -> list[str]:
    """Return the revisions that a round trip's report has."""
    [proof] = json.loads(outcome.out)["proofs"]
    return [one["id"] for one in proof["revisions"]]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("0003", "3"),
        ("head", "4"),
        ("head-1", "3"),
        ("-1", "3"),
        ("-1:", "34"),
        ("base+1", "1"),
        ("0001:0002", "12"),
        (":0002", "12"),
        ("base:head", "1234"),
        ("0003:0003", "3"),
    ],
)
def test_revisions_are_named_as_alembic_names_them(four: Project, name: str, ids: str) -> None:
    directory = ScriptDirectory.from_config(read_config(four.directory / "alembic.ini"))
    assert since.chosen(directory, name) == {f"000{number}" for number in ids}


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("name", "ids", "status"), [("0002", ["0002"], 1), ("-1:", ["0003", "0004"], 0)]
)
def test_roundtrip_proves_the_revisions_that_are_named(
    name: str, ids: list[str], status: int
) -> None:
    outcome = run("roundtrip", name, "--json")
    assert (rows(outcome), outcome.status) == (ids, status), outcome
    assert "models, base: not judged" in outcome.out


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("name", [":", "base:head"])
def test_roundtrip_of_a_range_without_ends_is_that_of_the_whole_history(name: str) -> None:
    outcome = run("roundtrip", name, "--json")
    assert len(rows(outcome)) == 4
    assert "models, base: not judged" not in outcome.out


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("name", ["0009", "0003:0001", "head-9", "base", "0001:nope", "x+y"])
def test_roundtrip_says_which_revisions_there_are_when_one_is_unknown(name: str) -> None:
    outcome = run("roundtrip", name)
    assert outcome.status == exits.UNKNOWN
    assert outcome.err.startswith("alembic-toolkit roundtrip: ")
    assert "  wanted  one of 0001, 0002, 0003, 0004\n" in outcome.err
    assert "Traceback" not in outcome.err


def test_roundtrip_is_no_proof_when_what_comes_before_cannot_be_run(four: Project) -> None:
    four.revision("0005", "0004", upgrade="op.execute('no SQL')")
    four.table("0006", "0005")
    outcome = run("roundtrip", "0006")
    assert outcome.status == exits.FOUND
    assert "0005" in outcome.out


def test_roundtrip_proves_what_is_new_since_a_commit(four: Project) -> None:
    git = "git -c user.name=a -c user.email=a@example.org "
    commands = ("init -q", "add -A", "commit -q -m x")
    assert os.system(" && ".join(git + command for command in commands)) == 0
    assert run("roundtrip", "--since", "HEAD").status == exits.FINE
    four.table("0005", "0004")
    outcome = run("roundtrip", "--since", "HEAD", "--json")
    assert (rows(outcome), outcome.status) == (["0005"], 0)
    outcome = run("roundtrip", "--since", "nowhere")
    assert outcome.status == exits.UNKNOWN
    assert "alembic-toolkit roundtrip --since FETCH_HEAD" in outcome.err


def test_database_is_not_touched_when_it_cannot_be_read(
    offline: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline.table("0001")
    monkeypatch.chdir(offline.directory)
    url = f"sqlite:///{tmp_path / 'one.db'}"
    assert run("upgrade", "0009", f"--url={url}").status == exits.UNKNOWN
    assert not (tmp_path / "one.db").exists() or not made(url)


@pytest.mark.parametrize("argv", [["sql", "--dialect=postgresql"], ["check"]], ids=" ".join)
def test_output_that_nobody_reads_gives_no_traceback(argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "alembic_toolkit", *argv]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert done.returncode == exits.UNREAD
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
