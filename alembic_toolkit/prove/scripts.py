"""The ``--sql`` script of each revision, statement by statement."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from sqlalchemy import make_url

from alembic_toolkit.database import marks
from alembic_toolkit.project.env import Project, run_env
from alembic_toolkit.script.mysql import undelimited
from alembic_toolkit.script.writer import PLAIN

_RUNNING = re.compile("-- Running [^\n]*")  # Alembic's comment


@dataclass
class Written:
    """The script of one revision in one direction, or why there is none."""

    statements: list[str] = field(default_factory=list)
    refused: str = ""  # the message of a revision that refuses to be written as one
    error: str = ""  # any other error


@dataclass
class _Collector:
    """Takes the place of the script's file."""

    current: Written | None = None
    last: Written | None = None

    def write(self, text: str) -> None:
        text = text.strip()
        left_out = text in ("BEGIN;", "COMMIT;") or _RUNNING.fullmatch(text)
        # The DELETE of its marks comes after the version table's row.
        written = self.last if marks.FORGETS.match(text) else self.current
        if written is not None and not left_out:
            written.statements.append(undelimited(text.removesuffix(";")))

    def flush(self) -> None:
        """Do nothing."""


def scripts(project: Project, url: str, up: bool) -> dict[str, Written]:
    """Return what each revision writes, by its id; the version table's own rows are left out."""
    written: dict[str, Written] = {}
    collector = _Collector()

    def steps(*_: Any) -> list[Any]:
        if not project.order:  # now that env.py has made them importable
            project.load_what_can_be()
        order = project.order if up else project.order[::-1]
        written.update((revision.revision, Written()) for revision in order)
        made = [project.step(revision, up) for revision in order]
        for step in made:
            of_step = written[step.revision.revision]
            step.migration_fn = _collected(step.migration_fn, collector, of_step)
        return made

    def configured(configure: Callable[..., None], *_: Any, **options: Any) -> None:
        options = {k: v for k, v in options.items() if k not in ("connection", "dialect_name")}
        options |= {"url": make_url(url), "dialect_opts": {"paramstyle": "named"}}
        options |= {"literal_binds": True, "transaction_per_migration": True}
        configure(**options | {"output_buffer": collector})

    ends = (None, "heads") if up else ("heads", "base")
    options = {"fn": steps, "as_sql": True, "starting_rev": ends[0], "destination_rev": ends[1]}
    run_env(project, url, configured, {PLAIN: True}, **options)
    return written


def _collected(function: Any, collector: _Collector, written: Written) -> Any:
    def run(**kw: Any) -> None:
        collector.current = collector.last = written
        try:
            function(**kw)
        except CommandError as error:
            written.refused = str(error)
        except Exception as error:
            written.error = f"{type(error).__name__}: {error}"
        finally:
            collector.current = None

    return run


def scripts_elsewhere(project: Project, url: str) -> dict[str, list[str]]:
    """Return what another process writes, in which sets have another order.

    :raises CommandError: it failed.
    """
    code = "from alembic_toolkit.prove import scripts; scripts.main()"
    asked = {"path": str(project.path), "x": project.x, "url": url}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        check=False,
    )
    try:
        found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise CommandError(f"scripts cannot be written in another process: {lines[-1]}") from None
    return found


def main() -> None:
    """Write the scripts of the project that standard input names, as JSON."""
    asked = json.loads(sys.stdin.read())
    project = Project.load(Path(asked["path"]), tuple(asked["x"]), asked["url"])
    found = {}
    for up in (True, False):
        for id_, written in scripts(project, asked["url"], up).items():
            found[f"{'up' if up else 'down'} {id_}"] = written.statements
    print(json.dumps(found))
