"""How to ask reliably: knows neither SQL nor Arrow nor vendors."""
