"""Many databases of one history: their status, and their upgrades."""
