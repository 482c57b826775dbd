package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF

/**
 * Drops a call whose answer no operator reads. Also adds an exchange below a global sort of answers: Spark samples
 * the input of such a sort before it sorts, which would make the calls twice.
 */
object DropUnread extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.transformWithPruning(_.containsPattern(PYTHON_UDF)) {
    case parent @ (_: Project | _: Aggregate) if hasUnreadCalls(parent) =>
      val node = parent.children.head
      parent.withNewChildren(node.children)
    case sort @ Sort(_, true, child, _) if hasCallInStage(child) =>
      val exchange = RebalancePartitions(Nil, child)
      sort.copy(child = exchange)
  }

  private def hasUnreadCalls(parent: LogicalPlan): Boolean = parent.children.head match {
    case CallNode(node) => !CallNode.isRead(node, parent.references)
    case _ => false
  }

  /** Returns whether the plan contains a call without an exchange above it. */
  private def hasCallInStage(plan: LogicalPlan): Boolean = plan match {
    case CallNode(_) => true
    case _: Project | _: Filter | _: Generate | _: ArrowEvalPython | _: Union =>
      plan.children.exists(hasCallInStage)
    case _ => false
  }
}
