package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF
import org.apache.spark.sql.types.{StructField, StructType}

/**
 * Stacked calls that do not depend on each other share one Python worker and give one STRUCT: all are in flight at once.
 * Spark would start a worker for each and hand rows from one to the next in lumps.
 */
object MergeCalls extends Rule[LogicalPlan] {
  private type Answered = (PythonUDF, Attribute)

  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformDownWithPruning(_.containsPattern(PYTHON_UDF)) {
      case node: ArrowEvalPython if stacked(node)._1.size > 1 => merged(stacked(node))
    }

  /** The calls of a stack, lowest first, and what is below it. */
  private def stacked(plan: LogicalPlan): (Seq[Answered], LogicalPlan) = plan match {
    case ArrowEvalPython(Seq(udf), Seq(result), child, _) if Calls.isCall(udf) && !Calls.functionOf(udf).merged =>
      val (below, base) = stacked(child)
      if (below.exists { case (_, answer) => udf.references.contains(answer) }) (Seq(udf -> result), child)
      else (below :+ (udf -> result), base)
    case other => (Nil, other)
  }

  private def merged(stack: (Seq[Answered], LogicalPlan)): LogicalPlan = {
    val (answers, base) = stack
    val udfs = answers.map(_._1)
    val returns = StructType(udfs.zipWithIndex.map { case (udf, i) => StructField(s"c$i", udf.dataType) })
    val first = Calls.functionOf(udfs.head)
    val function = first.copy(calls = udfs.flatMap(Calls.functionOf(_).calls))(first.analysed)
    val onTheWay = Versions.typeOnTheWay(returns)
    val together = PythonUDF("ai_calls", function, onTheWay, udfs.flatMap(_.children), udfs.head.evalType, udfDeterministic = true)
    val all = AttributeReference("ai_calls", onTheWay)()
    val single = answers.zipWithIndex.map { case ((_, a), i) => Alias(GetStructField(Versions.arrived(all, returns), i), a.name)(exprId = a.exprId) }
    Project(base.output ++ single, ArrowEvalPython(Seq(together), Seq(all), base, together.evalType))
  }
}
