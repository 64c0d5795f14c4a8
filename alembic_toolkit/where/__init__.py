"""Where a database stands: its schema compared with that of each revision."""
