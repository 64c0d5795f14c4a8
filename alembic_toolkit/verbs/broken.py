"""Report what a verb leaves unusable, on a server that allows it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.exc import DBAPIError

from alembic_toolkit.database.errors import message
from alembic_toolkit.messages import printable
from alembic_toolkit.sql.tokens import contains_word
from alembic_toolkit.verbs.values import Step
from alembic_toolkit.verbs.words import log

# These may remove or rename an object that a view or a trigger uses
_BREAKS = {"drop_table", "drop_view", "replace_view", "drop_column", "rename_table", "alter_column"}


def say_broken(step: Step) -> None:
    """Warn of the views and triggers that use a step's object and have become unusable.

    They may be created again further down, so this is not refused.
    """
    name = step.table or step.name
    renames = getattr(step.operation, "modify_name", None) is not None
    if step.verb not in _BREAKS or name is None or (step.verb == "alter_column" and not renames):
        return
    users = step.server.users(step) if step.server.users is not None else {}
    for what in _concerned(users, name):
        try:
            step.database.run(users[what][1]).close()
        except DBAPIError as error:
            line = f"warn {step.verb} {name}: {what} cannot be used now: {message(error)}"
            log.warning("%s", printable(line))


def _concerned(users: Mapping[str, tuple[str, str]], name: str) -> list[str]:
    """Return the objects that use a name, directly or indirectly."""
    names, found = [name], list[str]()
    while names:
        name = names.pop()
        more = [w for w in users if w not in found and contains_word(users[w][0], name)]
        found += more
        names += [what.partition(" ")[2] for what in more if what.startswith("view ")]
    return sorted(found)
