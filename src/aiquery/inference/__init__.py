"""Reliable requests: scheduling, retries, cache and budget. Nothing here depends on SQL, Arrow or a vendor."""
