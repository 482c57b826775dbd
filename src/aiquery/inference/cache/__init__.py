"""The cache of answers: memory in front of SQLite or Redis."""
