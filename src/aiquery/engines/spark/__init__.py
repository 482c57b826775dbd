"""Apache Spark: the functions are known to its analyzer, and run in its Python workers."""
