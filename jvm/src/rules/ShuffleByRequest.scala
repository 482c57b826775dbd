package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Ascending, Expression, RowOrdering, SortOrder}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF
import org.apache.spark.sql.internal.SQLConf

/**
 * Sends rows with equal requests to one task, where they are one request, and sorts them, so that requests with equal
 * beginnings are neighbours, which helps endpoints with a prefix cache.
 *
 * The setting `spark.aiquery.shuffleByRequest` turns the rule on. Rows that have an order are not shuffled.
 */
object ShuffleByRequest extends Rule[LogicalPlan] {
  val setting = "spark.aiquery.shuffleByRequest"

  def apply(plan: LogicalPlan): LogicalPlan =
    if (isEnabled) plan.transformUpWithPruning(_.containsPattern(PYTHON_UDF))(shuffleInput)
    else plan

  private def isEnabled: Boolean = {
    val value = SQLConf.get.getConfString(setting, "false")
    value.equalsIgnoreCase("true")
  }

  private val shuffleInput: PartialFunction[LogicalPlan, LogicalPlan] = {
    case CallNode(node) if findKeys(node).nonEmpty && !isOrdered(node.child) =>
      val keys = findKeys(node)
      val shuffled = RepartitionByExpression(keys, node.child, None)
      val order = keys.map(SortOrder(_, Ascending))
      node.withNewChildren(Seq(Sort(order, global = false, shuffled)))
  }

  /** Returns whether the rows have an order: a sort, and above it only operators that preserve its order. */
  private def isOrdered(plan: LogicalPlan): Boolean = plan match {
    case _: Sort => true
    case _: GlobalLimit | _: LocalLimit | _: Offset | _: Filter | _: Project | _: ArrowEvalPython =>
      isOrdered(plan.children.head)
    case _ => false
  }

  /** Returns the columns that make two rows the same request. A condition is not one of them. */
  private def findKeys(node: ArrowEvalPython): Seq[Expression] = {
    val calls = node.udfs.flatMap(Calls.splitArguments)
    val columns = calls.flatMap { case (call, arguments) =>
      arguments.take(call.columns.size)
    }
    columns.filter(isKey).distinct
  }

  private def isKey(column: Expression): Boolean =
    !column.foldable && RowOrdering.isOrderable(column.dataType)
}
