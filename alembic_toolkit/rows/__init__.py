"""Rows: put into tables, read by value, and compared."""
