"""Descriptions of tables: what is needed to fill and to read them."""
