package org.apache.spark.sql.aiquery

import com.fasterxml.jackson.databind.JsonNode

/** One parameter of a function. The Python function defines the kind: constant, column, value or group. */
case class Parameter(name: String, kind: String, required: Boolean) {
  def isConstant: Boolean = kind == "constant"

  def isGroup: Boolean = kind == "group"
}

object Parameter {
  def read(node: JsonNode): Parameter =
    Parameter(
      name = node.get("name").asText,
      kind = node.get("kind").asText,
      required = node.get("required").asBoolean)
}
