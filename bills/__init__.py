"""Track bills: who owes what, by when, and what was paid."""
