"""The providers, one module per wire format."""
