"""A schema as a value: how it is read from each server, and how two of them differ."""
