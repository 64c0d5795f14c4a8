"""Find a database's revision by comparing its schema with that of each revision."""
