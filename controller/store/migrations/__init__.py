"""How a database comes from any earlier form to the present one, step by step (Alembic)."""
