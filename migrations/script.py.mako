<%!
import textwrap


def quoted(value):
    """Return Python source for an id or several, as ruff would format it."""
    if value is None or isinstance(value, str):
        return "None" if value is None else f'"{value}"'
    inner = ", ".join(f'"{item}"' for item in value)
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def sentence(message):
    """Return a message that may stand in a docstring."""
    text = textwrap.fill(message, 96)
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
%>\
<% merge = isinstance(down_revision, tuple) %>\
"""${sentence(message)}

% if merge:
Two people wrote a revision at the same time; nothing to do but to go on from both.
% else:
Why: ... (who needs this, and what breaks without it; what happens to the rows that are there)
% endif
"""

% if not merge:
import sqlalchemy as sa

import alembic_helpers as helpers

% endif
revision = ${quoted(up_revision)}
down_revision = ${quoted(down_revision)}
branch_labels = ${quoted(branch_labels)}
depends_on = ${quoted(depends_on)}


def upgrade() -> None:
% if merge:
    pass
% else:
    raise NotImplementedError("write here what changes: helpers.add_column(...)")
% endif


def downgrade() -> None:
% if merge:
    pass
% else:
    raise NotImplementedError("write here how to take it back: helpers.drop_column(...)")
% endif
