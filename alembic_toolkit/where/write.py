"""Write ``schemas.json``: the schema of each revision, from a run on an empty database."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError

from alembic_toolkit.database.servers import server_of
from alembic_toolkit.project import baselines
from alembic_toolkit.project.env import Project, own_drivername, read_config
from alembic_toolkit.prove.scratch import scratch
from alembic_toolkit.schema import stored
from alembic_toolkit.schema.stored import Part
from alembic_toolkit.where.build import build
from alembic_toolkit.where.servers import DEFAULTS, default_scratch

Progress = Callable[[str, int, int, str], None]


@dataclass
class Written:
    """The result of writing the file."""

    path: Path
    parts: list[Part]  # those that were built
    is_new: bool  # the bytes of the file changed
    stale: list[str]  # outdated parts of other servers, unchanged


def write(
    config: Path,
    addresses: Sequence[str] = (),
    x: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> Written:
    """Build the parts of some servers, and keep those of the others.

    :param config: ``alembic.ini``, or a ``pyproject.toml`` with ``[tool.alembic]``.
    :param addresses: URLs of empty databases, which are empty again afterwards. The default is one
     of the project's own server, if the toolkit can create one by itself.
    :raises CommandError: a database cannot be used, a revision cannot be run: nothing is written.
    """
    directory = ScriptDirectory.from_config(read_config(config))
    path = stored.path_of(directory)
    parts, built = stored.read(path), list[Part]()
    if addresses:
        for address in addresses:
            built.append(built_at(config, address, tuple(x), progress))
    else:
        name = _own_server(config, tuple(x))
        kin = [one.partition(" ")[2] for one in parts if one.partition(" ")[0] == name]
        for version in kin or [""]:
            built += built_on(config, name, version, tuple(x), progress) or []
        if not built:
            raise _unnamed(name)
    parts |= {one.server: one for one in built}
    is_new = stored.write(path, parts)
    files = stored.files_of(baselines.seen(directory))
    stale = [name for name, part in parts.items() if stored.older(part, files)]
    return Written(path, built, is_new, stale)


def built_on(
    config: Path, name: str, version: str, x: tuple[str, ...], progress: Progress
) -> list[Part]:
    """Build the part of a server that the toolkit can start by itself; none if it cannot.

    :param name: the server's name in the file of schemas; with a major version, or any.
    """
    with default_scratch(name, version) as address:
        return [] if address is None else [built_at(config, address, x, progress)]


def built_at(config: Path, address: str, x: tuple[str, ...], progress: Progress) -> Part:
    """Build the part of the server of an empty database."""
    with scratch(address) as given, _quiet():
        name = given.server.facts.label
        return build(config, given, x, lambda done, all_, id_: progress(name, done, all_, id_))


def _own_server(config: Path, x: tuple[str, ...]) -> str:
    """Return the name of the project's own server."""
    loaded = read_config(config)
    project = Project(config, loaded, ScriptDirectory.from_config(loaded), x)
    drivername = own_drivername(project, fn=lambda *_: (), destination_rev="heads")
    return server_of(drivername.partition("+")[0] or DEFAULTS[0]).label


def _unnamed(name: str) -> CommandError:
    return CommandError(
        f"no empty database is named, and none of {name} can be created here.\n"
        f"  found   a project on {name}\n"
        f"  wanted  --scratch URL, or a project on {' or '.join(DEFAULTS)}\n"
        "Stopped, because the revisions have to be run on such a server.\n"
        "What to do next:\n"
        f"    {stored.WRITE} --scratch {name}://user:password@host/scratch"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep output and logs of revisions out of our own output."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def text(written: Written) -> str:
    """Return a line for each part."""
    lines = [
        f"{one.server}: {len(one.revisions)} revisions, up to {[*one.revisions][-1]}"
        if one.revisions
        else f"{one.server}: no revisions"
        for one in written.parts
    ]
    lines += [
        f"{one.server}: the default of {thing.owner}.{thing.name} is the moment at which its"
        " revision ran: it is not compared"
        for one in written.parts
        for thing in one.moments
    ]
    said = "written" if written.is_new else "as it was"
    lines.append(f"{stored.shortest(written.path)}: {said}; commit it with the history")
    lines += [
        f"{name}: older than the history: {stored.write_command(name)}" for name in written.stale
    ]
    return "\n".join(lines)
