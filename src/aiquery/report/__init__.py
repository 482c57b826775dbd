"""What runs did, for people: tables for SQL, a line for a terminal, a page for a browser."""
