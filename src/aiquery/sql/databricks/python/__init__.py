"""Functions that SQL cannot express exactly: from texts to a text, for one value at a time."""
