"""One ``--sql`` script that fits any database of a history, whatever its revision."""
