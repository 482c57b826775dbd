package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, RebalancePartitions, RepartitionOperation}
import org.apache.spark.sql.catalyst.rules.Rule

/**
 * Computes equal calls over equal rows once, as in a self-join. It adds an exchange above each of them, and Spark
 * reuses equal exchanges.
 */
object ShareCalls extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = {
    val nodes = plan.collect { case CallNode(node) => node.canonicalized }
    val repeated = nodes.diff(nodes.distinct).toSet
    if (repeated.isEmpty) plan else addExchanges(plan, repeated)
  }

  private def addExchanges(plan: LogicalPlan, repeated: Set[LogicalPlan]): LogicalPlan = plan match {
    case exchange: RepartitionOperation => exchange
    case CallNode(node) if repeated.contains(node.canonicalized) =>
      RebalancePartitions(Nil, node)
    case other => other.mapChildren(addExchanges(_, repeated))
  }
}
