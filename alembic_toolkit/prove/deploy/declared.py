"""What a revision declares of its deployment, held against what was seen.

deploy = "after"   # the new code is deployed after this revision: migrate, then deploy
deploy = "before"  # the new code is deployed before this revision: deploy, then migrate
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from alembic.script import Script

from alembic_toolkit.prove import results
from alembic_toolkit.prove.results import Order
from alembic_toolkit.prove.verdicts import Verdicts

_ORDERS = {"before": results.DEPLOY_FIRST, "after": results.MIGRATE_FIRST}
_NAMES = {order: name for name, order in _ORDERS.items()}
_WHO = {"old": "old code, on the new schema", "new": "new code, on the old schema"}


def declared(revision: Script) -> str:
    """Return when the module says that the code is deployed; empty if it does not say."""
    found = getattr(revision.module, "deploy", None)
    return found if isinstance(found, str) else ""


@cache
def line_of(path: Path) -> int:
    """Return the line of the declaration; where there is none, that of ``upgrade()``."""
    source = path.read_bytes() if path.suffix == ".py" else b""
    found = 0
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "deploy" in names:
                return node.lineno
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade":
            found = node.lineno
    return found


def judge_declared(verdicts: Verdicts, revision: Script, position: int, order: Order) -> None:
    """Find a wrong declaration; and, without a declaration, that no order is right."""
    said, path = declared(revision), Path(revision.path)
    wanted = _ORDERS.get(said)
    remedy = _NEITHER.format(revision=revision.revision)
    if said and wanted is None:
        problem = f'deploy = "{said}" means nothing: it is "before" or "after"'
        remedy = _declaration(order.verdict) or remedy
    elif order.verdict in (results.ANY_ORDER, wanted):
        return
    elif said:
        problem = f'deploy = "{said}" is wrong: {order.verdict}'
        remedy = _declaration(order.verdict) or remedy
    elif order.verdict == results.NEITHER:
        problem = "old code fails after it, and new code before it"
    else:
        return
    first = {(one.code, one.table): one for one in reversed(order.breaks)}
    details = [
        line
        for one in order.breaks
        if first[one.code, one.table] is one
        for line in (f"{_WHO[one.code]}: {one.statement}", f"  {one.error}")
    ]
    verdicts.find(results.OLD_CODE, position, problem, details, remedy, True, line=line_of(path))


def _declaration(verdict: str) -> str:
    """Return what to write in the module."""
    if verdict == results.ANY_ORDER:
        return 'nothing: any order is right; or deploy = "after"'
    name = _NAMES.get(verdict)
    return f'deploy = "{name}"  # the new code {name} this revision: {verdict}' if name else ""


_NEITHER = """\
two revisions, and code between them that fits both schemas:
    deploy = "after"   # in the first: only what the new code needs
    deploy = "before"  # in the second, when no old code runs: what takes away what it needed
or, where it runs in a window, in pyproject.toml:
    [[tool.alembic-toolkit.roundtrip.exceptions]]
    revision = "{revision}"
    check = "old-code"
    reason = "in a window, when no code runs\""""
