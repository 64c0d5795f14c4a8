"""What all packages need to know about a database: address, driver, server, errors, own tables."""
