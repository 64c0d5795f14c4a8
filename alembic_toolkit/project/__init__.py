"""The user's project: its revisions, its ``env.py`` and its ``pyproject.toml``."""
