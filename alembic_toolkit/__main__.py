"""Run the command ``alembic-toolkit``: ``python -m alembic_toolkit``."""

import sys

from alembic_toolkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
