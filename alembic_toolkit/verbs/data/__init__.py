"""Verbs about rows."""
