package org.apache.spark.sql.aiquery

import java.nio.charset.StandardCharsets.UTF_8
import java.util.{ArrayList, Arrays, LinkedHashMap, List => JList, Map => JMap}

import com.fasterxml.jackson.databind.ObjectMapper
import com.fasterxml.jackson.databind.node.ObjectNode

import org.apache.spark.api.python.{PythonBroadcast, PythonFunction}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.catalyst.trees.Origin
import org.apache.spark.util.CollectionAccumulator

/**
 * Wrong arguments: found at analysis, with the position that Spark adds. `text` is what our Python says; the class and
 * the SQLSTATE in it are those of the exception, in a Spark Connect client too.
 */
class CallError(text: String, position: Option[(Int, Int)] = None)
  extends AnalysisException("USER_RAISED_EXCEPTION", Map("errorMessage" -> text)) {

  private val condition = "^\\[(\\w+)\\]".r.findFirstMatchIn(text).map(_.group(1))
  private val state = "SQLSTATE: (\\w{5})$".r.findFirstMatchIn(text).map(_.group(1))

  override def getCondition: String = condition.getOrElse("USER_RAISED_EXCEPTION")
  override def getErrorClass: String = getCondition
  override def getSqlState: String = state.getOrElse("P0001")
  override def getSimpleMessage: String = text
  override def getMessage: String = text + position.map { case (line, start) => s"; line $line pos $start" }.getOrElse("")
  override def withPosition(origin: Origin): AnalysisException =
    if (position.isDefined || origin.line.isEmpty) this
    else new CallError(text, Some(origin.line.get -> origin.startPosition.getOrElse(0)))
}

object Json {
  private val mapper = new ObjectMapper()
  def write(value: AnyRef): String = mapper.writeValueAsString(value)
  def read(text: String) = mapper.readTree(text)
}

/**
 * A call as the plan carries it: the function, its constants and the configuration (JSON, no secret in it), the names of its
 * columns. `guarded`: a last boolean column says which rows are wanted at all; `quiet`: a failed row is NULL; `counted`:
 * nothing is asked, the value is what would be; `wrapped`: the answer travels as an ARRAY of one.
 */
case class Call(
    function: String, constants: String, config: String, columns: Seq[String], guarded: Boolean = false,
    quiet: Boolean = false, counted: Boolean = false, wrapped: Boolean = false) {
  /** How many columns it reads. */
  def width: Int = columns.size + (if (guarded) 1 else 0)

  /** What the call says of failOnError. */
  def failOnError: Option[Boolean] = Option(Json.read(constants).get("failOnError")).filter(_.isBoolean).map(_.asBoolean)

  /** The same call with its errors as values. */
  def withoutFailing(travels: Boolean): Call = {
    val fields = Json.read(constants).asInstanceOf[ObjectNode]
    fields.put("failOnError", false)
    copy(constants = fields.toString, wrapped = travels)
  }

  def json: String = {
    val fields = new LinkedHashMap[String, AnyRef]()
    fields.put("function", function)
    fields.put("constants", constants)
    fields.put("config", config)
    fields.put("columns", Arrays.asList(columns: _*))
    fields.put("guarded", java.lang.Boolean.valueOf(guarded))
    fields.put("quiet", java.lang.Boolean.valueOf(quiet))
    fields.put("counted", java.lang.Boolean.valueOf(counted))
    Json.write(fields)
  }
}

/**
 * The PythonFunction of one call, or of several that share a worker. It keeps them, so that TRY and the rules can rewrite
 * them, and two equal calls are equal. `analysed` is another each time that a call is analysed, and no part of what is
 * equal: the jobs of one DataFrame have it in common, so that what failed in one of them is not paid again in the next.
 */
case class CallFunction(calls: Seq[Call], environment: Map[String, String], pythonExec: String, pythonVer: String)(
    val analysed: String) extends PythonFunction {

  /** Without the environment: it holds the coordinator's token. */
  override def toString: String = calls.map(_.function).mkString("CallFunction(", ", ", ")")

  def merged: Boolean = calls.size > 1

  def changed(change: Call => Call): CallFunction = copy(calls = calls.map(change))(analysed)

  @transient lazy val command: Seq[Byte] =
    CallFunction.pickled(s"""{"analysed":"$analysed","calls":${calls.map(_.json).mkString("[", ",", "]")}}""").toSeq

  def envVars: JMap[String, String] = {
    val variables = new java.util.HashMap[String, String]()
    environment.foreach { case (name, value) => variables.put(name, value) }
    variables
  }

  def pythonIncludes: JList[String] = new ArrayList[String]()
  def broadcastVars: JList[Broadcast[PythonBroadcast]] = new ArrayList[Broadcast[PythonBroadcast]]()

  /** Set on the executor by the physical node, in the task's own copy. */
  @transient @volatile var metrics: CollectionAccumulator[Array[Byte]] = null
  def accumulator: CollectionAccumulator[Array[Byte]] = metrics
}

object CallFunction {
  /** A pickle by hand, so that no Python is needed to write it: a global of our package, called with one text. */
  def pickled(json: String): Array[Byte] = {
    val text = json.getBytes(UTF_8)
    val size = text.length
    val length = Array(size.toByte, (size >> 8).toByte, (size >> 16).toByte, (size >> 24).toByte)
    "caiquery.engines.spark.worker\nload\n(X".getBytes(UTF_8) ++ length ++ text ++ "tR.".getBytes(UTF_8)
  }
}
