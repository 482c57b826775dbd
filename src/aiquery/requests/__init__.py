"""Requests and responses as values, and how SQL values become text and replies become values."""
