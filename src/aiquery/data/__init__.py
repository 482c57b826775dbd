"""Packaged data files: vendors, list prices, the report template and the demo table."""
