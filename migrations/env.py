"""Run by every `alembic` command: which database, which models."""

from logging.config import fileConfig

from alembic import context

from alembic_toolkit.runner import run
from bills import database
from bills.models import Base

# An application that runs revisions from Python keeps its own logging.
if context.config.cmd_opts and context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)

run(context, database.url(), target_metadata=Base.metadata)
