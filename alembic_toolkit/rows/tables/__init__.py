"""What tables are: what must be known to fill and to read them."""
