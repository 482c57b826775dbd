"""Apache Spark, as its users see it: a ready local session, what to tell a cluster, the functions for DataFrames."""

from aiquery.engines.spark.driver.estimate import estimate
from aiquery.engines.spark.driver.session import session, settings

__all__ = ["estimate", "session", "settings"]
