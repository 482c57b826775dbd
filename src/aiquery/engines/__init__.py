"""Where columns come from: each engine hands over columns and takes one back."""
