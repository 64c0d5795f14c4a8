"""What a person sees: each message once, as it was written; with this repository's own files."""

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.toolkit.conftest import Project
from tests.toolkit.deployers import until

ROOT = Path(__file__).parents[2]
REFUSAL = """\
revision 0002 is not written yet: migrations/versions/0002_test.py
  found   raise NotImplementedError('say what changes, in a sentence that is long enough to wrap')
  wanted  statements in upgrade() that make the change
Nothing was run. Write its upgrade(), then run the command again.
"""


@pytest.fixture
def ours(tmp_path: Path) -> Project:
    """Return a project with this repository's alembic.ini and env.py, and a refusal in it."""
    project = Project(tmp_path / "project")
    shutil.copy(ROOT / "alembic.ini", project.directory)
    for name in ("env.py", "script.py.mako"):
        shutil.copy(ROOT / "migrations" / name, project.directory / "migrations")
    project.table("0001")
    project.revision(
        "0002",
        "0001",
        "raise NotImplementedError('say what changes, in a sentence that is long enough to wrap')",
    )
    return project


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "alembic", *argv]


def environment(project: Project) -> dict[str, str]:
    database = f"sqlite:///{project.directory / 'test.db'}"
    return {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "DATABASE_URL": database}


def run(project: Project, *argv: str) -> tuple[int, str, str]:
    done = subprocess.run(
        command(*argv),
        cwd=project.directory,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def run_on_a_terminal(project: Project, *argv: str) -> str:
    """Run `alembic` on a terminal of forty columns; return what appears on it."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with subprocess.Popen(
        command(*argv),
        cwd=project.directory,
        env=environment(project),
        stdin=end,
        stdout=end,
        stderr=end,
    ):
        os.close(end)
        seen = b""
        try:
            while part := os.read(terminal, 4096):
                seen += part
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(terminal)
    return seen.decode().replace("\r\n", "\n")


def test_refusal_is_seen_once_and_as_written_on_a_terminal(ours: Project) -> None:
    seen = run_on_a_terminal(ours, "upgrade", "head")
    assert seen.endswith("FAILED: " + REFUSAL)
    assert seen.count("not written yet") == 1
    assert "Traceback" not in seen


def test_refusal_of_a_script_is_seen_once_on_a_terminal(ours: Project) -> None:
    seen = run_on_a_terminal(ours, "upgrade", "head", "--sql")
    assert seen.endswith("FAILED: " + REFUSAL)
    assert seen.count("not written yet") == 1


def test_refusal_is_seen_when_the_output_goes_elsewhere(ours: Project) -> None:
    status, out, err = run(ours, "upgrade", "head")
    assert status == 255
    assert out == "FAILED: " + REFUSAL
    assert "not written yet" not in err


def test_refusal_is_seen_when_the_output_is_a_script(ours: Project) -> None:
    status, out, err = run(ours, "upgrade", "head", "--sql")
    assert status == 255
    assert out.strip() == "FAILED: " + REFUSAL.strip()
    assert err.endswith("ERROR " + REFUSAL)


def test_refusal_is_seen_when_alembic_is_quiet(ours: Project) -> None:
    status, out, err = run(ours, "--quiet", "upgrade", "head")
    assert status == 255
    assert out == ""
    assert err.endswith("ERROR " + REFUSAL)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_is_a_line_and_the_status_of_one(
    ours: Project, how: signal.Signals, code: int
) -> None:
    flag = ours.directory / "running"
    stays = f"import pathlib, time\npathlib.Path({str(flag)!r}).touch()\ntime.sleep(60)"
    ours.table("0002", "0001", upgrade=stays)
    with subprocess.Popen(
        command("upgrade", "head"),
        cwd=ours.directory,
        env=environment(ours),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a shell that starts us in the background has SIGINT ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        until(flag.exists)
        process.send_signal(how)
        printed, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert printed.splitlines()[-2:] == [
        "INFO  Running upgrade 0001 -> 0002, Revision 0002.",
        "ERROR upgrade of 0002 was interrupted; nothing of it is kept. "
        "What to do next: run the command again.",
    ]
    assert run(ours, "current")[1] == "0001\n"


def test_each_revision_is_a_line_of_the_log(ours: Project) -> None:
    status, out, err = run(ours, "upgrade", "0001")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "INFO  Context impl SQLiteImpl.",
        "INFO  Will assume transactional DDL.",
        "INFO  Running upgrade  -> 0001, Revision 0001.",
    ]


def test_new_revision_is_one_line_and_touches_no_database(ours: Project) -> None:
    status, out, err = run(ours, "revision", "-m", "Add due date to bills")
    path = ours.versions / "0003_add_due_date_to_bills.py"
    assert (status, err) == (0, "")
    assert out == f"Generating {path} ...  done\n"
    assert path.exists()
    assert not (ours.directory / "test.db").exists()
