package org.apache.spark.sql.aiquery

import scala.jdk.CollectionConverters._

import com.fasterxml.jackson.databind.JsonNode

/** The name of a SQL function, its usage text for DESCRIBE FUNCTION, and its parameters in order. */
case class FunctionSignature(name: String, usage: String, parameters: Seq[Parameter]) {
  def parameterNames: String = parameters.map(_.name).mkString(", ")

  def findParameter(key: String): Option[Parameter] =
    parameters.find(_.name.equalsIgnoreCase(key))
}

object FunctionSignature {
  def read(node: JsonNode): FunctionSignature = {
    val parameters = node.get("parameters").elements.asScala
    FunctionSignature(
      name = node.get("name").asText,
      usage = node.get("usage").asText,
      parameters = parameters.map(Parameter.read).toSeq)
  }
}
