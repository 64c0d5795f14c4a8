"""Read and write SQL text: no connection, no settings."""
