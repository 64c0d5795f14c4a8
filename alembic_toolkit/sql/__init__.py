"""Texts of SQL, read and written: no connection, no settings."""
