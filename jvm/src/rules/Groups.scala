package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Alias, Expression, NamedExpression}
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.logical.{Aggregate, LogicalPlan, Project}

/**
 * Moves calls that read a result of a GROUP BY (a grouping column or an aggregate) above the aggregate, where each
 * group is one row.
 */
object Groups {
  /** Returns whether the aggregate has calls to move. */
  def hasCallsToLift(aggregate: Aggregate): Boolean =
    aggregate.aggregateExpressions.exists(isLifted(_, aggregate))

  def liftCalls(aggregate: Aggregate): LogicalPlan = {
    val lower = Seq.newBuilder[NamedExpression]
    val upper = aggregate.aggregateExpressions.map { expression =>
      if (isLifted(expression, aggregate)) {
        val lifted = replaceResults(expression, aggregate, named => lower += named)
        lifted.asInstanceOf[NamedExpression]
      } else {
        lower += expression
        expression.toAttribute
      }
    }
    Project(upper, aggregate.copy(aggregateExpressions = lower.result()))
  }

  /** Replaces the results of the aggregate by attributes, and passes their computations to `compute`. */
  private def replaceResults(
      expression: Expression, aggregate: Aggregate, compute: NamedExpression => Unit): Expression =
    if (isResult(expression, aggregate)) {
      val named = expression match {
        case name: NamedExpression => name
        case other => Alias(other, "grouped")()
      }
      compute(named)
      named.toAttribute
    } else expression.mapChildren(replaceResults(_, aggregate, compute))

  /** Returns whether the expression contains a call outside of the aggregate's results. */
  private def isLifted(expression: Expression, aggregate: Aggregate): Boolean =
    if (isResult(expression, aggregate)) false
    else Calls.isCall(expression) || expression.children.exists(isLifted(_, aggregate))

  private def isResult(expression: Expression, aggregate: Aggregate): Boolean = expression match {
    case _: AggregateExpression => true
    case _ => aggregate.groupingExpressions.exists(_.semanticEquals(expression))
  }
}
