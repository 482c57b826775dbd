"""Runs: what each statement did, while it runs and afterwards."""
