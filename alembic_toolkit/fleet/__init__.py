"""Many databases of one history: their status, and their upgrade to a revision."""
