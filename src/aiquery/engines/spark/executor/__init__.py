"""The part of the Spark engine that runs in the Python workers of executors."""
