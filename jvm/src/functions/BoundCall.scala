package org.apache.spark.sql.aiquery

import org.apache.spark.sql.types.DataType

/** The result of binding a call: the type of its answer, and the configuration that the plan carries (JSON). */
case class BoundCall(returns: DataType, config: String)
