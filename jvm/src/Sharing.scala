package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF
import org.apache.spark.sql.internal.SQLConf

/** The same calls over the same rows twice in a plan (a self-join): an exchange above each, of which Spark runs one. */
object ShareCalls extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = {
    val nodes = plan.collect { case CallNode(node) => node.canonicalized }
    val twice = nodes.diff(nodes.distinct).toSet
    if (twice.isEmpty) plan else shared(plan, twice)
  }

  private def shared(plan: LogicalPlan, twice: Set[LogicalPlan]): LogicalPlan = plan match {
    case exchange: RepartitionOperation => exchange
    case CallNode(node) if twice.contains(node.canonicalized) => RebalancePartitions(Nil, node)
    case other => other.mapChildren(shared(_, twice))
  }
}

/**
 * `spark.aiquery.shuffleByRequest`: equal requests go to one task, sorted, where they are one call; and requests that
 * begin alike follow each other, which endpoints that keep prefixes like. Rows that have an order keep it.
 */
object ShuffleByRequest extends Rule[LogicalPlan] {
  val setting = "spark.aiquery.shuffleByRequest"

  def apply(plan: LogicalPlan): LogicalPlan =
    if (SQLConf.get.getConfString(setting, "false").toLowerCase != "true") plan
    else plan.transformUpWithPruning(_.containsPattern(PYTHON_UDF)) {
      case CallNode(node) if requests(node).nonEmpty && !isOrdered(node.child) =>
        val by = requests(node)
        val together = RepartitionByExpression(by, node.child, None)
        node.withNewChildren(Seq(Sort(by.map(SortOrder(_, Ascending)), global = false, together)))
    }

  /** Whether rows come in an order: that of a sort that nothing above it has undone. */
  private def isOrdered(plan: LogicalPlan): Boolean = plan match {
    case _: Sort => true
    case _: GlobalLimit | _: LocalLimit | _: Offset | _: Filter | _: Project | _: ArrowEvalPython => isOrdered(plan.children.head)
    case _ => false
  }

  /** What makes two rows the same request; a guard does not. */
  private def requests(node: ArrowEvalPython): Seq[Expression] = {
    val columns = node.udfs.flatMap(Calls.callsOf).flatMap { case (call, read) => read.take(call.columns.size) }
    columns.filter(c => !c.foldable && RowOrdering.isOrderable(c.dataType)).distinct
  }
}
