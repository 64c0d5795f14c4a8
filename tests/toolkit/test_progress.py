"""The progress on a terminal (a real pseudo-terminal), and what a log gets instead."""

import fcntl
import io
import os
import pty
import re
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from alembic_toolkit.progress import Progress


class Terminal:
    """A terminal of so many columns, and what was written to it."""

    def __init__(self, columns: int) -> None:
        self.read_end, write_end = pty.openpty()
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(write_end, termios.TIOCSWINSZ, size)
        self.stream = os.fdopen(write_end, "w", encoding="utf-8")
        self.written = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # The end of a pseudo-terminal is an error on Linux.
        with suppress(OSError):
            while part := os.read(self.read_end, 4096):
                self.written += part.decode()

    def close(self) -> None:
        self.stream.close()
        self._reader.join(5)
        os.close(self.read_end)

    def lines(self) -> list[str]:
        """Return each state of the line; all of them are written over the one before."""
        assert "\n" not in self.written
        drawn = self.written.split("\r")[1:]
        assert all(one.endswith("\x1b[K") for one in drawn)
        return [one.removesuffix("\x1b[K") for one in drawn]


@contextmanager
def terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm")
    made = Terminal(columns)
    try:
        yield made
    finally:
        made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_progress_is_one_line_that_goes_away(monkeypatch) -> None:
    with terminal(100, monkeypatch) as made:
        with Progress(made.stream) as progress:
            progress.update("postgresql", 120, 345, "0120_add_due_date")
            wait_for(lambda: "0120" in made.written)
        wait_for(lambda: made.written.endswith("\r\x1b[K"))
        assert made.lines() == ["postgresql [######..............] 120/345 0120_add_due_date", ""]


def test_progress_says_the_time_left(monkeypatch) -> None:
    with terminal(100, monkeypatch) as made, Progress(made.stream) as progress:
        progress.update("sqlite", 0, 100, "a")
        time.sleep(1.1)
        progress.update("sqlite", 1, 100, "b")
        wait_for(lambda: "left" in made.written)
        assert re.search(r"1/100 b  1:[45]\d left", made.lines()[-1])


def test_progress_goes_on_while_a_step_takes_long(monkeypatch) -> None:
    with terminal(100, monkeypatch) as made, Progress(made.stream) as progress:
        progress.update("sqlite", 10, 1000, "a")
        progress.update("sqlite", 10, 1000, "the long one")
        wait_for(lambda: "the long one" in made.written)


def test_progress_shows_several_databases(monkeypatch) -> None:
    with terminal(100, monkeypatch) as made, Progress(made.stream) as progress:
        progress.update("sqlite", 90, 100, "a")
        progress.update("postgresql", 30, 100, "b")
        wait_for(lambda: "sqlite 90%  postgresql 30%" in made.written)
        progress.update("sqlite", 100, 100, "c")
        wait_for(lambda: "postgresql [######..............] 30/100 b" in made.written)


@pytest.mark.parametrize("columns", [5, 20, 30, 45, 60])
def test_progress_never_fills_a_narrow_terminal(monkeypatch, columns) -> None:
    with terminal(columns, monkeypatch) as made, Progress(made.stream) as progress:
        progress.update("postgresql", 120, 345, "0120_größe_\u8868\x1b[2J\n" + "long" * 40)
        wait_for(lambda: "postgresql" in made.written)
        progress.update("mariadb-2-on-another-host", 1, 345)
        wait_for(lambda: "%" in made.written)
        assert all(len(line) < max(columns, 20) for line in made.lines())
        assert all(line.isascii() and line.isprintable() for line in made.lines())


def test_progress_takes_updates_from_threads(monkeypatch) -> None:
    def work(name: str) -> None:
        for number in range(500):
            progress.update(name, number + 1, 500, f"r{number}")

    with terminal(100, monkeypatch) as made, Progress(made.stream) as progress:
        threads = [threading.Thread(target=work, args=(f"db{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        progress.close()
        made.lines()  # each whole


def test_progress_draws_nothing_when_it_was_over_at_once(monkeypatch) -> None:
    with terminal(100, monkeypatch) as made:
        with Progress(made.stream) as progress:
            progress.update("sqlite", 1, 1)
        time.sleep(0.2)
        assert made.written == ""


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_progress_gives_a_log_a_line_for_each_database(monkeypatch, term) -> None:
    monkeypatch.setenv("TERM", term)
    log = io.StringIO()
    if term == "dumb":
        monkeypatch.setattr(log, "isatty", lambda: True)
    with Progress(log) as progress:
        for number in range(3):
            progress.update("sqlite", number + 1, 3, f"r{number}")
        progress.update("sqlite", 3, 3)
        progress.update("mariadb", 2, 3, "0002_b")
    assert re.fullmatch(
        r"sqlite: 3 done in \d+\.\d s\nmariadb: stopped after 2 of 3, at 0002_b\n", log.getvalue()
    )


def test_progress_does_not_stop_the_work_when_nobody_reads_it() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w", encoding="ascii")
    with Progress(stream) as progress:
        for number in range(3):
            progress.update("größe", number + 1, 3)
    with suppress(OSError):
        stream.close()


def test_progress_of_nothing_is_through() -> None:
    log = io.StringIO()
    with Progress(log) as progress:
        progress.update("sqlite", 0, 0)
        progress.update("sqlite", 0, 0)
    assert log.getvalue() == "sqlite: 0 done in 0.0 s\n"
