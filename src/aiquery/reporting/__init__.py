"""Runs for people: tables in SQL, the progress line, and the HTML report."""
