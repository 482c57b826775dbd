package org.apache.spark.sql.aiquery

import org.apache.spark.sql.{Encoders, SparkSession}
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.sql.types.{DataType, StructType}

/** The table functions of the run history. The sidecar reads their rows when a statement is analysed. */
object History {
  private val run = Parameter("run", "constant", required = true)
  private val by = Parameter("by", "constant", required = false)

  val functions: Seq[FunctionSignature] = Seq(
    FunctionSignature("aiquery_runs", "_FUNC_() - every stored run, the newest first", Nil),
    FunctionSignature("aiquery_attempts", "_FUNC_(run) - every attempt of a run", Seq(run)),
    FunctionSignature("aiquery_usage", "_FUNC_(by) - usage by 'day', 'endpoint' or 'function'", Seq(by)))

  def build(signature: FunctionSignature, arguments: Seq[Expression]): LogicalPlan = {
    val argument = evaluateArgument(signature, arguments)
    Executions.endFinished()
    val settings = Settings.current
    if (settings.isLocked) {
      throw new CallError(
        s"${signature.name} shows the runs of all sessions, and this server has spark.aiquery.lockConfiguration; its "
          + "administrator reads them with the command aiquery runs.")
    }
    val table = signature.name.stripPrefix("aiquery_")
    val sidecar = Sidecar.of(settings)
    val (dataType, rows) = sidecar.readTable(table, argument, settings.config)
    createRelation(dataType, rows)
  }

  private def evaluateArgument(signature: FunctionSignature, arguments: Seq[Expression]): String = {
    val places = Arguments.place(signature, arguments)
    val constants = Arguments.evaluateConstants(signature, places)
    val values = Seq(run, by).flatMap(parameter => Option(constants.get(parameter.name)))
    values.headOption.map(_.toString).getOrElse("day")
  }

  private def createRelation(dataType: DataType, rows: Seq[String]): LogicalPlan = {
    val session = SparkSession.active.asInstanceOf[ClassicSession]
    val lines = session.createDataset(rows)(Encoders.STRING)
    val schema = dataType.asInstanceOf[StructType]
    val frame = session.read.schema(schema).json(lines)
    frame.queryExecution.analyzed
  }
}
