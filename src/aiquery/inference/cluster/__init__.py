"""One limit for many processes: a coordinator beside the driver decides, every worker holds permits."""
