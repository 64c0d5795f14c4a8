"""Whose code a revision breaks: statements of the one schema, run on the other."""
