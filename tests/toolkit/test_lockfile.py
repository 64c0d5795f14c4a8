"""The file that locks an SQLite database: other people's files in its place are left alone."""

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.util import CommandError

from alembic_toolkit.deployer.lockfile import LockFile
from tests.databases import Database
from tests.toolkit.conftest import Project, tables

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def path(database: Database) -> Path:
    return Path(f"{database.engine.url.database}-deploy")


def script(path: Path) -> None:
    path.write_text("#!/bin/sh\nrm -rf /srv/bills\n")


def link(path: Path) -> None:
    path.with_name("secrets").write_text("keep me")
    path.symlink_to(path.with_name("secrets"))


def hard_link(path: Path) -> None:
    path.with_name("secrets").write_text("keep me")
    path.hardlink_to(path.with_name("secrets"))


def hard_link_to_nothing(path: Path) -> None:
    path.with_name("empty").write_text("")
    path.hardlink_to(path.with_name("empty"))


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def two_lines(path: Path) -> None:
    path.write_text("me@here pid 1 since 2026-01-01 00:00:00 UTC\nand more")


@pytest.mark.parametrize(
    "make",
    [script, link, hard_link, hard_link_to_nothing, dangling_link, directory, fifo, two_lines],
)
def test_upgrade_leaves_alone_what_is_in_the_place_of_the_lock(
    project: Project, database: Database, path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    before = everything(path.parent)
    project.table("0001")
    message = project.refusal("upgrade", "head")
    assert message.startswith("no lock against other deployers can be made beside the database")
    assert everything(path.parent) == before
    assert tables(database) == set()
    path.rename(path.with_name("moved away"))
    assert project.alembic("upgrade", "head").status == 0
    assert not os.path.lexists(path)


def everything(directory: Path) -> dict[str, str]:
    return {
        entry.name: entry.read_text(errors="replace") if entry.is_file() else str(entry.lstat())
        for entry in directory.iterdir()
        if entry.name != "test.db"
    }


@pytest.mark.parametrize("killed", ["me@here pid 1 since 2026-01-01 00:00:00 UTC", None])
def test_upgrade_takes_the_lock_that_a_killed_deployer_left(
    project: Project, path: Path, killed: str | None
) -> None:
    if killed is None:
        killed_in_the_middle(path)
    else:
        path.write_text(killed)
    assert path.exists()
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert not path.exists()


def killed_in_the_middle(path: Path) -> None:
    child = os.fork()
    if child == 0:
        LockFile(path).take()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_upgrade_does_not_delete_an_empty_file_that_was_there(project: Project, path: Path) -> None:
    path.touch()
    project.table("0001")
    assert project.alembic("upgrade", "head").status == 0
    assert path.read_bytes() == b""


def test_lock_is_not_deleted_when_another_file_has_taken_its_place(path: Path) -> None:
    lock = LockFile(path)
    assert lock.take()
    assert not LockFile(path).take()
    assert LockFile(path).holder().partition(" since ")[0].endswith(f"pid {os.getpid()}")
    path.unlink()
    path.write_text("mine")
    lock.free()
    assert path.read_text() == "mine"


def test_upgrade_shows_a_link_without_what_a_terminal_would_obey(
    project: Project, path: Path
) -> None:
    path.symlink_to("/nowhere/\x1b[2J")
    project.table("0001")
    message = project.refusal("upgrade", "head")
    assert "\\x1b[2J" in message
    assert "\x1b" not in message


@pytest.mark.parametrize("user", ["\udcff", "two\nlines", "\x1b[31m"])
def test_lock_of_a_killed_deployer_is_recognised_whatever_it_was_called(
    path: Path, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", user)
    killed, next_one = LockFile(path), LockFile(path)
    assert killed.take()
    assert killed.held is not None
    os.close(killed.held)  # as the end of its process does
    assert next_one.take()
    next_one.free()
    assert not path.exists()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, None])
def test_lock_is_made_where_there_are_no_hard_links(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    error = NotImplementedError() if number is None else OSError(number, os.strerror(number))

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, "link", refuse)
    first, second = LockFile(path), LockFile(path)
    assert first.take()
    assert f"pid {os.getpid()} since" in second.holder()
    assert not second.take()
    first.free()
    assert not path.exists()
    assert second.take()
    second.free()
    assert [*path.parent.glob(f"{path.name}*")] == []


def test_lock_that_cannot_be_linked_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(CommandError, match="no lock against other deployers"):
        LockFile(path).take()
    assert [*path.parent.glob(f"{path.name}*")] == []


def test_file_that_is_seen_before_its_lock_is_of_who_locks_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicker, taken = LockFile(path), list[bool]()
    locked = LockFile._locked

    def seen(self: LockFile, opened: int) -> bool:
        if not taken:
            taken.append(False)  # once
            taken[0] = quicker.take()
        return locked(self, opened)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(LockFile, "_locked", seen)
    assert not LockFile(path).take()
    assert taken == [True]
    quicker.free()
    assert LockFile(path).take()
