package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.{Cross, Inner, JoinType, LeftAnti, LeftOuter, LeftSemi, RightOuter}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{JOIN, PYTHON_UDF}

/**
 * Moves a filter that reads an answer, and its call, above a join, so that only rows that join send requests.
 *
 * It moves through the sides whose rows the join keeps as they are. A join that itself reads the answer stays.
 */
object JoinFirst extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformUpWithPruning(_.containsAllPatterns(JOIN, PYTHON_UDF)) {
      case join: Join => liftLeft(liftRight(join))
    }

  private def liftLeft(plan: LogicalPlan): LogicalPlan = plan match {
    case join: Join if keepsLeft(join.joinType) =>
      Asked.find(join.left) match {
        case Some(asked) if canLift(join, asked) => asked.restore(join.copy(left = asked.node.child), join.output)
        case _ => join
      }
    case Project(columns, below) => Project(columns, liftLeftBelow(below))
    case other => other
  }

  /** Follows the operators that lifting the right side added. */
  private def liftLeftBelow(plan: LogicalPlan): LogicalPlan = plan match {
    case join: Join => liftLeft(join)
    case unary: UnaryNode => unary.withNewChildren(Seq(liftLeftBelow(unary.child)))
    case other => other
  }

  private def liftRight(join: Join): LogicalPlan =
    if (keepsRight(join.joinType)) {
      Asked.find(join.right) match {
        case Some(asked) if canLift(join, asked) => asked.restore(join.copy(right = asked.node.child), join.output)
        case _ => join
      }
    } else join

  private def keepsLeft(kind: JoinType): Boolean = kind match {
    case Inner | Cross | LeftOuter | LeftSemi | LeftAnti => true
    case _ => false
  }

  private def keepsRight(kind: JoinType): Boolean = kind match {
    case Inner | Cross | RightOuter => true
    case _ => false
  }

  private def canLift(join: Join, asked: Asked): Boolean = {
    val read = join.condition.map(_.references).getOrElse(AttributeSet.empty)
    val own = AttributeSet(asked.columns.map(_.toAttribute)) -- asked.node.child.outputSet
    join.hint == JoinHint.NONE && read.intersect(own).isEmpty
  }
}

/**
 * A filter over a call, with the columns of a projection above it.
 *
 * @param columns the columns that the side of the join has
 */
case class Asked(columns: Seq[NamedExpression], condition: Expression, node: ArrowEvalPython) {
  /** Returns the join with the call, the filter and the columns above it. */
  def restore(join: Join, output: Seq[Attribute]): LogicalPlan = {
    val asking = Filter(condition, node.withNewChildren(Seq(join)))
    val computed = columns.map(column => column.toAttribute.exprId -> column).toMap
    Project(output.map(attribute => computed.getOrElse(attribute.exprId, attribute)), asking)
  }
}

object Asked {
  def find(plan: LogicalPlan): Option[Asked] = plan match {
    case Project(columns, child) if columns.forall(isPlain) =>
      findFilter(child).map(asked => asked.copy(columns = columns))
    case other => findFilter(other)
  }

  private def findFilter(plan: LogicalPlan): Option[Asked] = plan match {
    case Filter(condition, CallNode(node)) if condition.deterministic && CallNode.isRead(node, condition.references) =>
      Some(Asked(plan.output, condition, node))
    case _ => None
  }

  /** Returns whether a column costs nothing and cannot fail for rows that the filter removes. */
  private def isPlain(column: NamedExpression): Boolean = column match {
    case _: Attribute | Alias(_: Attribute | _: Literal, _) => true
    case _ => false
  }
}
