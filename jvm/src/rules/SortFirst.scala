package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{AttributeSet, NamedExpression}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{LIMIT, SORT}

/**
 * Moves a call above ORDER BY and LIMIT where the order does not read its answer, so that only the rows of the result
 * send requests.
 */
object SortFirst extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.transformWithPruning(_.containsAllPatterns(LIMIT, SORT)) {
    case limit @ GlobalLimit(_, LocalLimit(_, sort @ Sort(_, true, child, _))) =>
      child match {
        case CallNode(node) if !sortsAnswer(sort, node) => liftNode(limit, node)
        case project @ Project(_, CallNode(node)) if canSplit(sort, project, node) =>
          splitProject(limit, project, node)
        case _ => limit
      }
  }

  private def liftNode(limit: GlobalLimit, node: ArrowEvalPython): LogicalPlan = {
    val limited = replaceInput(limit, node.child)
    node.withNewChildren(Seq(limited))
  }

  /** Computes the columns that read an answer above the limit, and the others below. */
  private def splitProject(limit: GlobalLimit, project: Project, node: ArrowEvalPython): LogicalPlan = {
    val (late, early) = project.projectList.partition(readsAnswer(_, node))
    val inputs = (node.udfs ++ late).flatMap(_.references)
    val needed = AttributeSet(inputs) -- node.resultAttrs
    val carried = needed -- early.map(_.toAttribute)
    val limited = replaceInput(limit, Project(early ++ carried.toSeq, node.child))
    val columns = project.projectList.map { item =>
      if (readsAnswer(item, node)) item else item.toAttribute
    }
    Project(columns, node.withNewChildren(Seq(limited)))
  }

  /** Returns the limit and the sort over another input. */
  private def replaceInput(plan: LogicalPlan, input: LogicalPlan): LogicalPlan = plan match {
    case sort: Sort => sort.copy(child = input)
    case limit =>
      val children = limit.children.map(replaceInput(_, input))
      limit.withNewChildren(children)
  }

  /** Returns whether the order reads no answer, neither directly nor by a column that is computed from one. */
  private def canSplit(sort: Sort, project: Project, node: ArrowEvalPython): Boolean = {
    val sorted = AttributeSet(sort.order.flatMap(_.references))
    val computed = project.projectList.filter(readsAnswer(_, node))
    !sortsAnswer(sort, node) && !computed.exists(item => sorted.contains(item.toAttribute))
  }

  private def sortsAnswer(sort: Sort, node: ArrowEvalPython): Boolean =
    sort.order.exists(item => CallNode.isRead(node, item.references))

  private def readsAnswer(column: NamedExpression, node: ArrowEvalPython): Boolean =
    CallNode.isRead(node, column.references)
}
