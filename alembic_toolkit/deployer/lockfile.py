"""The file that locks an SQLite database against other deployers: create, recognize, delete it.

Other users may be able to write to its directory. So no link is followed, only a file that we wrote
is accepted as ours, and no other file is ever changed or deleted.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from alembic.util import CommandError

from alembic_toolkit.database import journal
from alembic_toolkit.messages import printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Opening a FIFO would wait for its other end.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
# EPERM is specific to Linux: https://man7.org/linux/man-pages/man2/link.2.html
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_OURS = re.compile(r"[^\n]+ pid \d+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


def is_possible() -> bool:
    """Tell whether this system can lock a file for the lifetime of a process."""
    return fcntl is not None


class LockFile:
    """A file that this process holds until it releases it or dies."""

    def __init__(self, path: Path) -> None:
        """Set the path of the file; see `take`."""
        self.path = path
        self.held: int | None = None  # its descriptor
        self.is_ours = False  # so that we may delete it

    def take(self) -> bool:
        """Acquire the file unless somebody holds it; return whether it was acquired.

        :raises CommandError: it cannot be created, or another file is in its place.
        """
        try:
            held = self._make() or self._open()
        except OSError as error:
            raise CommandError(
                f"no lock against other deployers can be made beside the database: {error}\n"
                "SQLite needs to write there too; let it, or run with -x deploy_lock=no "
                "when nobody else can be deploying"
            ) from None
        if held is None:
            return False
        self.held = held
        with suppress(OSError):  # the disk is full: nobody can read who the holder is
            os.ftruncate(held, 0)
            os.pwrite(held, _content(), 0)
        return True

    def free(self) -> None:
        """Release and delete the file; an empty one that already existed is only emptied."""
        if self.held is None:
            return
        with suppress(OSError):
            os.ftruncate(self.held, 0)
            if self.is_ours and os.path.samestat(os.fstat(self.held), self.path.lstat()):
                self.path.unlink()
        os.close(self.held)
        self.held = None

    def holder(self) -> str:
        """Return what the holder wrote into the file."""
        try:
            opened = os.open(self.path, _FLAGS)
        except OSError:
            return "nobody, just now"
        try:
            text = os.read(opened, 1000).decode(errors="replace")
            return text if _OURS.fullmatch(text) else "somebody"
        finally:
            os.close(opened)

    def _make(self) -> int | None:
        """Create the file, with its content and its lock, before anybody can see it."""
        if os.path.lexists(self.path):
            return None
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        made = os.open(fresh, _FLAGS | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):
                os.pwrite(made, _content(), 0)
            os.link(fresh, self.path, follow_symlinks=False)
        except FileExistsError:  # another process was faster
            os.close(made)
            return None
        except (OSError, NotImplementedError) as error:
            os.close(made)
            if getattr(error, "errno", errno.ENOSYS) not in _NO_LINKS:
                raise
            return self._make_in_place()
        except BaseException:
            os.close(made)
            raise
        finally:
            fresh.unlink()
        self.is_ours = True
        return made

    def _make_in_place(self) -> int | None:
        """Create the file where there are no hard links (FAT); others may see it while it is empty.

        Whoever sees it may lock it, like any empty file: then it is theirs.
        """
        try:
            made = os.open(self.path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None
        if not self._locked(made):
            os.close(made)
            return None
        self.is_ours = True
        return made

    def _open(self) -> int | None:
        """Open and lock the existing file; None if it is held, or already gone."""
        try:
            opened = os.open(self.path, _FLAGS)
        except FileNotFoundError:
            return None
        except OSError:
            if self.path.is_symlink():
                raise self._refusal(f"a link to {printable(os.readlink(self.path))}") from None
            raise
        try:
            if (what := os.fstat(opened)) and not stat.S_ISREG(what.st_mode):
                raise self._refusal("no ordinary file")
            if not self._locked(opened):
                os.close(opened)
                return None
            text = os.read(opened, 1000).decode(errors="replace")
            if text and not _OURS.fullmatch(text):
                raise self._refusal(f"a file of {what.st_size} bytes that no deployer wrote")
            if not text and what.st_nlink > 1:
                raise self._refusal("an empty file that has another name, too")
        except BaseException:
            os.close(opened)
            raise
        self.is_ours = bool(text)
        return opened

    def _locked(self, opened: int) -> bool:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # If the previous holder deletes it now, the locked file has no name any more.
            return os.path.samestat(os.fstat(opened), self.path.lstat())
        except OSError:
            return False

    def _refusal(self, found: str) -> CommandError:
        return CommandError(
            "no lock against other deployers can be made beside the database: nothing was run\n"
            f"  found   {self.path}: {found}\n"
            "  wanted  no file of this name, or the lock that a killed deployer left\n"
            "What to do next: move it away; or run with -x deploy_lock=no when nobody else can be\n"
            "deploying."
        )


def _content() -> bytes:
    since = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    return f"{journal.who()} since {since}".encode()
