"""Show the results of a round trip: on a terminal, to machines, as a page."""
