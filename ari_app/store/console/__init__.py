"""What the console keeps in PostgreSQL, and what its pages read there."""
