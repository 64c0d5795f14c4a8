"""The databases given on the command line or in ``pyproject.toml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alembic.util import CommandError
from sqlalchemy import make_url

from alembic_toolkit.database.address import concealed, parse_known, shown

AT_ONCE = 8  # databases that are only looked at
TIMEOUT = 10.0  # seconds for one to answer


@dataclass(frozen=True)
class Database:
    """One database, and the name that its users gave it."""

    name: str
    url: str = ""  # empty: the one that env.py names
    problem: str = ""  # why there is no URL

    def concealed(self, text: str) -> str:
        """Return a text without the passwords of the URL."""
        if not self.url:
            return text
        rendered = re.search(r"://[^:@/]*:([^@]*)@", self.url)  # as it was given
        if rendered and rendered[1]:
            text = re.sub(rf"(?<!\w){re.escape(rendered[1])}(?!\w)", "***", text)
        return concealed(make_url(self.url), text)


def named(given: Sequence[str], known: Mapping[str, str]) -> list[Database]:
    """Return the databases of the command line: ``NAME=URL``, a URL, or a known name.

    :param known: those of ``pyproject.toml``.
    :raises CommandError: one cannot be read, or two have the same name.
    """
    found = [_named(one, known) for one in given]
    names = [database.name for database in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CommandError(
            f"two databases are called {twice[0]}; give each a name: --url NAME={twice[0]}"
        )
    return found


def _named(text: str, known: Mapping[str, str]) -> Database:
    if text in known:
        return listed(text, known[text])
    pair = re.fullmatch(r"([^:/=\s]+)=(.*)", text, re.DOTALL)
    if not pair and "://" not in text:
        names = f"; pyproject.toml names {', '.join(known)}" if known else ""
        raise CommandError(
            f"--url is given neither a URL nor the name of a database{names}\n"
            "write it like --url production=postgresql+psycopg://user:password@host/name"
        )
    address = pair[2] if pair else text
    url = parse_known(address)
    return Database(pair[1] if pair else shown(url), address)


def listed(name: str, address: str) -> Database:
    """Return a database of ``pyproject.toml``, whose URL may contain variables for secrets."""
    variables = re.findall(r"\$\{?(\w+)\}?", address)
    if missing := [variable for variable in variables if variable not in os.environ]:
        return Database(name, "", f"the environment has no {', '.join(missing)}")
    address = re.sub(r"\$\{?(\w+)\}?", lambda found: os.environ[found[1]], address)
    try:
        parse_known(address)
    except CommandError as error:
        return Database(name, "", str(error))
    return Database(name, address)
