"""The kinds of objects: how each is found, defined and compared."""
