package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.AttributeSet
import org.apache.spark.sql.catalyst.plans.logical.{ArrowEvalPython, LogicalPlan}

/** An ArrowEvalPython node all of whose functions are calls. */
object CallNode {
  def unapply(plan: LogicalPlan): Option[ArrowEvalPython] = plan match {
    case node: ArrowEvalPython if node.udfs.forall(Calls.isCall) => Some(node)
    case _ => None
  }

  /** Returns whether the references contain an answer of the node. */
  def isRead(node: ArrowEvalPython, references: AttributeSet): Boolean =
    references.intersect(AttributeSet(node.resultAttrs)).nonEmpty
}
