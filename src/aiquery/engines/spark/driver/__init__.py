"""The part of the Spark engine that runs beside the driver."""
