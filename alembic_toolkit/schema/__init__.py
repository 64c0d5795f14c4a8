"""A schema as a value: reading it from each server, and comparing two of them."""
