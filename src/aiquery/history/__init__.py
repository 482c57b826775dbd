"""Runs that were kept: what each statement did, and every attempt of it, in one SQLite file beside the answers."""
