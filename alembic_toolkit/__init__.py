"""Run hand-written Alembic revisions safely, and check them; works on anybody's history."""
