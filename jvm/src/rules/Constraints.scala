package org.apache.spark.sql.aiquery

import scala.util.matching.Regex

import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

/**
 * Rejects a CHECK constraint that contains a call. Delta's constraints and Spark's own (from 4.1 on) are evaluated
 * where no call can be made. The error is raised when the constraint is added, not when the first row is written.
 */
object Constraints extends (LogicalPlan => Unit) {
  private lazy val patterns: Seq[(String, Regex)] = Manifest.functions.map { function =>
    val pattern = s"(?i)\\b${function.name}\\s*\\(".r
    function.name -> pattern
  }

  def apply(plan: LogicalPlan): Unit = plan.foreach { node =>
    if (node.nodeName.contains("AddConstraint")) check(readText(node))
  }

  private def check(text: String): Unit =
    for ((name, pattern) <- patterns if pattern.findFirstIn(text).isDefined)
      throw new CallError(
        s"$name: a CHECK constraint cannot call it; write its answer to a column, and check that column.")

  private def readText(node: LogicalPlan): String =
    node.productIterator.filterNot(_.isInstanceOf[LogicalPlan]).mkString(" ")
}
