package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Attribute, Expression}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project}

/**
 * A plan whose calls are in nodes of their own.
 *
 * @param plan the plan; its output starts with the output of the original plan
 * @param answers the canonical form of each call that the plan has computed, and the attribute that holds its answer
 */
case class ExtractedPlan(plan: LogicalPlan, answers: Map[Expression, Attribute] = Map.empty)

object ExtractedPlan {
  /** Returns the plan with exactly the output of the original plan. */
  def restoreOutput(plan: LogicalPlan, output: Seq[Attribute]): LogicalPlan = {
    val isEqual = plan.output.map(_.exprId) == output.map(_.exprId)
    if (isEqual) plan else Project(output, plan)
  }
}
