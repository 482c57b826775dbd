"""Whom to ask: one file per wire format."""
