"""The SQL that makes what is missing, on each server in its own way."""
