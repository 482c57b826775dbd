"""Pure scheduling decisions: time and chance are arguments, decisions are return values."""
