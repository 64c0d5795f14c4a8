"""What stands behind ``alembic_helpers``."""
