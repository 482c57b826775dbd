"""HTTP: connections, addresses, keys, and what goes wrong with them."""
