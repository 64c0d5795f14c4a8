"""Options for running revisions: keywords of `run`, which ``-x name=value`` overrides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from configparser import ConfigParser
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import signature
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError


@dataclass(frozen=True)
class Options:
    """How long to wait, what to check, and whether to keep a journal; times are in seconds."""

    deploy_lock: bool = True  # one deployer at a time
    deploy_wait: float = 600.0  # for another deployer to finish
    lock_timeout: float = 2.0  # how long one statement waits for a lock at most
    retry_for: float = 300.0  # how long a revision that meets locks is retried
    journal: bool = True  # record each run in <version table>_history
    verify: bool = False  # compare the schema with schemas.json after each revision
    journal_errors: str = "masked"  # a failed statement, without its literals, or full
    refuse_rewrite_over: int = 0  # rows of a table that a statement would copy; 0: any number


NAMES = tuple(field.name for field in fields(Options))


def read(keywords: dict[str, Any], given: Mapping[str, str]) -> Options:
    """Take the options out of the keywords; options on the command line override them.

    :raises CommandError: a value is not valid, or a name looks like a misspelt option.
    """
    own = signature(EnvironmentContext.configure).parameters
    _refuse_misspelt((name for name in keywords if name not in own), "run({}=...)")
    _refuse_misspelt(given, "-x {}=...")
    found: dict[str, Any] = {}
    for name in NAMES:
        if name in keywords:
            found[name] = _value(name, keywords.pop(name), f"run({name}=...)")
        if name in given:
            found[name] = _value(name, given[name], f"-x {name}=...")
    return Options(**found)


def _refuse_misspelt(names: Iterable[str], where: str) -> None:
    """Refuse a name that is nearly one of ours, since it would silently have no effect."""
    for name in names:
        likely = get_close_matches(name.strip().lower().replace("-", "_"), NAMES, 1, 0.88)
        if likely and name not in NAMES:
            raise CommandError(
                f"{where.format(name)}: did you mean {likely[0]}? nothing was run\n{_known()}"
            )


def _value(name: str, given: Any, where: str) -> bool | float | int | str:
    wanted, parse = _PARSERS[type(getattr(Options, name))]
    try:
        return parse(given)
    except (KeyError, TypeError, ValueError):
        raise CommandError(
            f"{where}: {given!r} is not {wanted}; nothing was run\n{_known()}"
        ) from None


def _known() -> str:
    known = ", ".join(f"{n}={_shown(getattr(Options, n))}" for n in NAMES)
    return f"the options, and what they are by default: {known}"


def _errors(given: Any) -> str:
    if given not in ("masked", "full"):
        raise ValueError(given)
    return str(given)


def _seconds(given: Any) -> float:
    seconds = float(given)
    if not (0 <= seconds < math.inf) or isinstance(given, bool):
        raise ValueError(given)
    return seconds


def _rows(given: Any) -> int:
    rows = int(given)
    if rows < 0 or isinstance(given, bool) or rows != float(given):
        raise ValueError(given)
    return rows


def _shown(value: bool | float | str) -> str:
    if isinstance(value, str):
        return value
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:g}"


_PARSERS: dict[type, tuple[str, Callable[[Any], bool | float | str]]] = {
    # The standard library's: yes, true, on, 1, and their opposites.
    bool: ("yes or no", lambda given: ConfigParser.BOOLEAN_STATES[str(given).lower()]),
    float: ("a number of seconds", _seconds),
    int: ("a number of rows", _rows),
    str: ("masked or full", _errors),
}
