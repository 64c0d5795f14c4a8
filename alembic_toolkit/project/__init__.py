"""Somebody's project: its revisions, its ``env.py``, its ``pyproject.toml``, its models."""
