package org.apache.spark.sql.aiquery

import org.apache.spark.sql.{Encoders, SparkSession}
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.sql.types.StructType

/** What was kept of runs, as tables in SQL: the process that binds calls reads them when the statement is analysed. */
object History {
  val functions: Seq[Function] = Seq(
    Function("aiquery_runs", "_FUNC_() - every run that is kept, the newest first", Nil),
    Function("aiquery_attempts", "_FUNC_(run) - every attempt of a run", Seq(Parameter("run", "constant", required = true))),
    Function("aiquery_usage", "_FUNC_(by) - what was used, by 'day', 'endpoint' or 'function'",
      Seq(Parameter("by", "constant", required = false))))

  def builder(function: Function)(arguments: Seq[Expression]): LogicalPlan = {
    val constants = Calls.constants(function, Calls.place(function, arguments))
    val argument = Option(constants.get("run")).orElse(Option(constants.get("by"))).map(_.toString)
    Executions.look()
    val (kind, rows) = Binder.read(Settings.current, function.name.stripPrefix("aiquery_"), argument.getOrElse("day"))
    val session = SparkSession.active.asInstanceOf[ClassicSession]
    val lines = session.createDataset(rows)(Encoders.STRING)
    session.read.schema(kind.asInstanceOf[StructType]).json(lines).queryExecution.analyzed
  }
}
