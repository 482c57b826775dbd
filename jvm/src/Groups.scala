package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.logical._

/** Calls over what a GROUP BY gives (a grouping column, an aggregate): they belong above it, where each group is one row. */
object Groups {
  def haveCallsAbove(aggregate: Aggregate): Boolean = aggregate.aggregateExpressions.exists(hasCallAbove(_, aggregate))

  def callsAbove(aggregate: Aggregate): LogicalPlan = {
    var below = Seq.empty[NamedExpression]
    val above = aggregate.aggregateExpressions.map {
      case expression if hasCallAbove(expression, aggregate) =>
        lift(expression, aggregate, named => below :+= named).asInstanceOf[NamedExpression]
      case expression =>
        below :+= expression
        expression.toAttribute
    }
    Project(above, aggregate.copy(aggregateExpressions = below))
  }

  /** Replaces what the aggregate computes by attributes, and hands the computations to `keep`. */
  private def lift(expression: Expression, aggregate: Aggregate, keep: NamedExpression => Unit): Expression =
    if (!computed(expression, aggregate)) expression.mapChildren(lift(_, aggregate, keep))
    else {
      val named = expression match {
        case name: NamedExpression => name
        case other => Alias(other, "grouped")()
      }
      keep(named)
      named.toAttribute
    }

  private def hasCallAbove(expression: Expression, aggregate: Aggregate): Boolean =
    !computed(expression, aggregate) &&
      (Calls.isCall(expression) || expression.children.exists(hasCallAbove(_, aggregate)))

  private def computed(expression: Expression, aggregate: Aggregate): Boolean =
    expression.isInstanceOf[AggregateExpression] || aggregate.groupingExpressions.exists(_.semanticEquals(expression))
}
