"""A database as everybody sees it: its address, its driver, its errors, and its own tables."""
