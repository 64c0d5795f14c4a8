"""The kinds of things: how each is found, wanted and compared."""
