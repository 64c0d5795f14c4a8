"""Differences between a database and what an application's models would create."""
