package org.apache.spark.sql.aiquery

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.node.ObjectNode

/**
 * One call as the plan carries it to the Python worker.
 *
 * @param function the name of the AI function
 * @param constants the constant arguments as JSON
 * @param config the configuration as JSON; it contains no secret
 * @param columns the names of the column arguments
 * @param hasCondition whether a last BOOLEAN column marks the rows that need a request
 * @param nullOnError whether a failed row is NULL instead of an error of the task
 * @param estimateOnly whether the worker returns the requests of the rows and sends none
 * @param inArray whether the answer travels as an ARRAY of one element
 */
case class CallSpec(
    function: String,
    constants: String,
    config: String,
    columns: Seq[String],
    hasCondition: Boolean = false,
    nullOnError: Boolean = false,
    estimateOnly: Boolean = false,
    inArray: Boolean = false) {

  /** The number of columns that the call reads, the condition included. */
  def width: Int = if (hasCondition) columns.size + 1 else columns.size

  /** The argument failOnError, None where the call does not set it. */
  def failOnError: Option[Boolean] = {
    val value = Option(Json.read(constants).get("failOnError"))
    value.filter(_.isBoolean).map(_.asBoolean)
  }

  /** Returns the same call with its errors as values. */
  def returnErrors(inArray: Boolean): CallSpec = {
    val fields = Json.read(constants).asInstanceOf[ObjectNode]
    fields.put("failOnError", false)
    copy(constants = fields.toString, inArray = inArray)
  }

  /** Returns the JSON that `aiquery.engines.spark.executor.worker` reads. */
  def toJson: JsonNode = {
    val fields = Json.newObject()
    fields.put("function", function)
    fields.put("constants", constants)
    fields.put("config", config)
    val names = fields.putArray("columns")
    columns.foreach(name => names.add(name))
    fields.put("has_condition", hasCondition)
    fields.put("null_on_error", nullOnError)
    fields.put("estimate_only", estimateOnly)
    fields
  }
}
