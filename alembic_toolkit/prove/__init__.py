"""The round trip: every revision proven on scratch databases, up, down and up again."""
