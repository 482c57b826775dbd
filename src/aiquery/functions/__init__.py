"""What to ask: one file per AI function."""
