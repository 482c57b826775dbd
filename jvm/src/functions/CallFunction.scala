package org.apache.spark.sql.aiquery

import java.nio.charset.StandardCharsets.UTF_8
import java.util.{ArrayList, List => JList, Map => JMap}

import scala.jdk.CollectionConverters._

import org.apache.spark.api.python.{PythonBroadcast, PythonFunction}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.util.CollectionAccumulator

/**
 * The PythonFunction of one call, or of several calls that share a worker.
 *
 * It stores the specs instead of the pickled command, so that rules can rewrite them and equal calls are equal.
 *
 * @param environment variables of the Python worker, among them the coordinator's address and token
 * @param wantedRows how many rows a limit above a filter of the answers wants; None if every answer is needed
 * @param isReduced whether the call reads only the rows of its subquery that can match (see ReduceSubquery)
 * @param planId a new value for each analysis of a call. It is not part of equality. The jobs of one DataFrame share
 *   it, so that a request that failed in one job is not paid for again in the next.
 */
case class CallFunction(
    calls: Seq[CallSpec],
    environment: Map[String, String],
    pythonExec: String,
    pythonVer: String,
    wantedRows: Option[Int] = None,
    isReduced: Boolean = false)(
    val planId: String)
  extends PythonFunction {

  /** Leaves out the environment, because it contains the coordinator's token. */
  override def toString: String = calls.map(_.function).mkString("CallFunction(", ", ", ")")

  def isMerged: Boolean = calls.size > 1

  def mapCalls(change: CallSpec => CallSpec): CallFunction =
    copy(calls = calls.map(change))(planId)

  def want(rows: Int): CallFunction = copy(wantedRows = Some(rows))(planId)

  def markReduced: CallFunction = copy(isReduced = true)(planId)

  /** Returns a copy with an accumulator of its own. */
  def duplicate(): CallFunction = copy()(planId)

  @transient lazy val command: Seq[Byte] = CallFunction.pickle(toJson).toSeq

  def envVars: JMap[String, String] = new java.util.HashMap(environment.asJava)

  def pythonIncludes: JList[String] = new ArrayList()

  def broadcastVars: JList[Broadcast[PythonBroadcast]] = new ArrayList()

  /** The physical node sets it on the executor, in the task's own copy. */
  @transient @volatile var metrics: CollectionAccumulator[Array[Byte]] = null

  def accumulator: CollectionAccumulator[Array[Byte]] = metrics

  private def toJson: String = {
    val fields = Json.newObject()
    fields.put("plan_id", planId)
    val specs = fields.putArray("calls")
    calls.foreach(call => specs.add(call.toJson))
    Json.write(fields)
  }
}

object CallFunction {
  private val loader = "caiquery.engines.spark.executor.worker\nload_udf\n"

  /**
   * Writes the pickle of `load_udf(json)` by hand, so that the driver needs no Python process for it: the global, a
   * mark, a text with its length in four bytes, a tuple, a call, and the end.
   */
  def pickle(json: String): Array[Byte] = {
    val text = json.getBytes(UTF_8)
    val head = s"$loader(X".getBytes(UTF_8)
    val tail = "tR.".getBytes(UTF_8)
    head ++ littleEndian(text.length) ++ text ++ tail
  }

  private def littleEndian(number: Int): Array[Byte] = {
    val shifts = Array(0, 8, 16, 24)
    shifts.map(shift => (number >> shift).toByte)
  }
}
