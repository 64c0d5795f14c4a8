"""The SQL that creates missing objects, for each server."""
