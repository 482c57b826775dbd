"""The event loop, threads, timers and files that the other packages run on."""
