"""SQL text as syntax trees, independent of an engine: dialects, calls, redaction."""
