package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.IntegerLiteral
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{LIMIT, PYTHON_UDF}

/**
 * Tells a call below a filter and a limit how many rows are wanted: its node then asks in waves (see WaveIterator).
 *
 * It follows operators that pass rows on in their order, one by one.
 */
object WantedRows extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformDownWithPruning(_.containsAllPatterns(LIMIT, PYTHON_UDF)) {
      case limit @ LocalLimit(IntegerLiteral(count), child) =>
        limit.withNewChildren(Seq(mark(child, count, isFiltered = false)))
    }

  private def mark(plan: LogicalPlan, count: Int, isFiltered: Boolean): LogicalPlan = plan match {
    case filter: Filter => filter.withNewChildren(Seq(mark(filter.child, count, isFiltered = true)))
    case CallNode(node) if isFiltered =>
      val udfs = node.udfs.map { udf =>
        val function = Calls.getFunction(udf)
        udf.copy(func = function.copy(wantedRows = Some(count))(function.planId))
      }
      val child = mark(node.child, count, isFiltered)
      ArrowEvalPython(udfs, node.resultAttrs, child, node.evalType)
    case _: Project | _: ArrowEvalPython | _: Union =>
      plan.withNewChildren(plan.children.map(mark(_, count, isFiltered)))
    case other => other
  }
}
