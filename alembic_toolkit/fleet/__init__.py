"""Many databases of one history: where they are, and how they are brought to a revision."""
