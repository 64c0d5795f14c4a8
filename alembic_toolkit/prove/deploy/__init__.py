"""Find whose code a revision breaks, by running statements for one schema on the other."""
