"""What stands behind `runner`: one deployer at a time, each revision until it gets its locks."""
