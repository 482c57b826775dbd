package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

/**
 * A CHECK constraint (Delta's, or Spark's own from 4.1 on) cannot call: what writes the table evaluates it where no call
 * can be made. It is refused when it is made, not when the first row is written.
 */
object Constraints extends (LogicalPlan => Unit) {
  private lazy val calls = Manifest.functions.map(f => f.name -> s"(?i)\\b${f.name}\\s*\\(".r)

  def apply(plan: LogicalPlan): Unit = plan.foreach { node =>
    if (node.nodeName.contains("AddConstraint")) {
      val text = node.productIterator.filterNot(_.isInstanceOf[LogicalPlan]).mkString(" ")
      for ((name, call) <- calls if call.findFirstIn(text).isDefined)
        throw new CallError(s"$name: a CHECK constraint cannot call it; keep its answer in a column, and check that.")
    }
  }
}
