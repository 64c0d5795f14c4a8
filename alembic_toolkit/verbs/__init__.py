"""The implementation behind ``alembic_helpers``."""
