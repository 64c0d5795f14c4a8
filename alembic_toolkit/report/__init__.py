"""What a round trip found out, shown: on a terminal, to machines, as a page."""
