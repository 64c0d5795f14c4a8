"""Projects whose ``env.py`` runs every revision on several databases, by functions for each.

Alembic's template ``multidb``, and Flask-Migrate's, call ``run_migrations(engine_name=...)``. A
command of ours is about one database: ``-x engine=NAME`` says which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError


def has_several(directory: ScriptDirectory) -> bool:
    """Return whether ``env.py`` names an engine for its revisions."""
    try:
        text = Path(directory.dir, "env.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"\bengine_name\b", text) is not None


def names(config: Config) -> list[str]:
    """Return the engines that the ini file names; some projects name them elsewhere."""
    given = config.get_main_option("databases") or ""
    return [name for name in re.split(r"[,\s]+", given) if name]


def chosen(config: Config, x: Iterable[str]) -> str | None:
    """Return the engine that a ``-x name=value`` names, or the only one.

    Flask-SQLAlchemy's default engine has an empty name: ``-x engine=``.
    """
    known, pairs = names(config), [one.partition("=") for one in x]
    if len(known) == 1:
        return known[0]
    if not known:
        return next((value for name, _, value in pairs if name == "engine"), None)
    return next((value for _, _, value in pairs if value in known), None)


def refuse_several(config: Config, directory: ScriptDirectory, x: Iterable[str]) -> None:
    """Refuse a project of several databases, unless one of them is named.

    :raises CommandError: none is.
    """
    if not has_several(directory) or chosen(config, x) is not None:
        return
    known = names(config)
    code = _OF_THE_APPLICATION if not known else _OF_THE_INI
    lines = "".join(f"\n    {line}" for line in code)
    raise CommandError(
        f"{Path(directory.dir, 'env.py')} runs each revision on several databases.\n"
        f"  found   {', '.join(known) or 'run_migrations(engine_name=...)'}\n"
        "  wanted  the name of the one that is meant\n"
        "Stopped, because all of them would be treated as one.\n"
        f"What to do next, in env.py, and then once for each of them:{lines}\n"
        f"    # alembic-toolkit ... -x engine={known[0] if known else 'NAME'}"
        + ("" if known else "  (the default one of Flask-SQLAlchemy: -x engine=)")
    )


_OF_THE_INI = (
    'only = context.get_x_argument(as_dictionary=True).get("engine")',
    'db_names = only or config.get_main_option("databases", "")',
)
# Flask-Migrate's: the application has engines of its own, which are not the database to use here.
_OF_THE_APPLICATION = (
    "# in both functions, behind the loop that completes `engines`",
    'only = context.get_x_argument(as_dictionary=True).get("engine")',
    'given = config.attributes.get("connection")',
    "if only is not None:",
    "    engines = {only: engines[only] if given is None else {'engine': given}}",
)
