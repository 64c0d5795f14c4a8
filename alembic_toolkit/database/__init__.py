"""What all rooms need of a database: its address, driver, server, errors, and our own tables."""
