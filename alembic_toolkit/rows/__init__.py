"""Rows: inserted into tables, read by value, and compared."""
