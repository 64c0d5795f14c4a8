"""One ``--sql`` script that fits any database of a history, wherever it stands."""
