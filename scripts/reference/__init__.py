"""The parts of the reference, each rendered from the code."""

HEAD = "This page is generated from the code by `make docs`.\n\n"
