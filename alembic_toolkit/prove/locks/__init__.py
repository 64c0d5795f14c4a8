"""Who waits for each statement of a revision, and how long: observed, not guessed."""
