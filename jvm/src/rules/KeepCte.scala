package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{CTERelationDef, Filter, LogicalPlan, WithCTE}
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{CTE, FILTER}

/**
 * Adds a guard to each CTE that contains calls, so that Spark computes the CTE once. ExtractCalls removes the guards.
 */
object KeepCte extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.resolveOperatorsWithPruning(_.containsPattern(CTE)) {
    case cte: WithCTE =>
      val definitions = cte.cteDefs.map(addGuard)
      cte.withNewChildren(definitions :+ cte.plan)
  }

  def removeGuards(plan: LogicalPlan): LogicalPlan = plan.transformWithPruning(_.containsPattern(FILTER)) {
    case Filter(_: CteGuard, child) => child
  }

  private def addGuard(definition: CTERelationDef): LogicalPlan = definition.child match {
    case Filter(_: CteGuard, _) => definition
    case child if Calls.planHasCall(child) =>
      val guarded = Filter(CteGuard(), child)
      definition.withNewChildren(Seq(guarded))
    case _ => definition
  }
}
