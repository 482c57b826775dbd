package org.apache.spark.sql.aiquery

import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}

/** One argument of a function: constant, column, value or group, as the Python functions define them. */
case class Parameter(name: String, kind: String, required: Boolean) {
  def constant: Boolean = kind == "constant"
  def group: Boolean = kind == "group"
}

case class Function(name: String, usage: String, parameters: Seq[Parameter])

/** The functions that there are: `manifest.json`, written from the Python functions when the jar is built. */
object Manifest {
  private val file = "/org/apache/spark/sql/aiquery/manifest.json"

  lazy val functions: Seq[Function] = {
    val stream = getClass.getResourceAsStream(file)
    try new ObjectMapper().readTree(stream).elements.asScala.map(function).toSeq
    finally stream.close()
  }

  private def function(node: JsonNode) =
    Function(node.get("name").asText, node.get("usage").asText, node.get("parameters").elements.asScala.map(parameter).toSeq)

  private def parameter(node: JsonNode) =
    Parameter(node.get("name").asText, node.get("kind").asText, node.get("required").asBoolean)
}
