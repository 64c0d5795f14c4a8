"""Verbs for rows."""
