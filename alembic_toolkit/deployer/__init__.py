"""The implementation of `runner`: one deployer at a time, with retries until locks are granted."""
