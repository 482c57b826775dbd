package org.apache.spark.sql.aiquery

import java.io.InputStream

import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
import com.fasterxml.jackson.databind.node.ObjectNode

/** Reads and writes JSON with the mapper in Spark's jars. */
object Json {
  private val mapper = new ObjectMapper()

  def newObject(): ObjectNode = mapper.createObjectNode()

  def read(text: String): JsonNode = mapper.readTree(text)

  def read(stream: InputStream): JsonNode = mapper.readTree(stream)

  def write(value: AnyRef): String = mapper.writeValueAsString(value)
}
