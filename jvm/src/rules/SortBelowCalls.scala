package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{LIMIT, PYTHON_UDF, SORT}

/**
 * Moves ORDER BY below the filters that read an answer, where a LIMIT follows and no key of the order reads one: the
 * filters keep the order, so that the limit ends the requests.
 *
 * The rows are sorted in one partition. Spark mixes the partitions below a limit, except where it collects them.
 */
object SortBelowCalls extends Rule[LogicalPlan] with AliasHelper {
  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformWithPruning(_.containsAllPatterns(LIMIT, SORT, PYTHON_UDF)) {
      case limit @ LocalLimit(_, sort: Sort) => moveSort(sort).map(replaceChild(limit, _)).getOrElse(limit)
      case limit @ LocalLimit(_, project @ Project(_, sort: Sort)) =>
        moveSort(sort).map(sorted => replaceChild(limit, replaceChild(project, sorted))).getOrElse(limit)
    }

  private def moveSort(sort: Sort): Option[LogicalPlan] = if (sort.global) moveBelow(sort, sort.child) else None

  private def replaceChild(parent: LogicalPlan, child: LogicalPlan): LogicalPlan = parent.withNewChildren(Seq(child))

  /** Returns the child of a sort with the sort below its lowest filter of answers; None if there is no such filter. */
  private def moveBelow(sort: Sort, plan: LogicalPlan): Option[LogicalPlan] = plan match {
    case filter: Filter => descend(sort, filter).orElse(sortBelow(sort, filter))
    case project: Project => descend(resolve(sort, project), project)
    case CallNode(node) => descend(sort, node)
    case _ => None
  }

  private def descend(sort: Sort, plan: UnaryNode): Option[LogicalPlan] =
    moveBelow(sort, plan.child).map(replaceChild(plan, _))

  private def sortBelow(sort: Sort, filter: Filter): Option[LogicalPlan] = filter.child match {
    case CallNode(node) if CallNode.isRead(node, filter.references) && canSort(sort, node.child) =>
      val sorted = sort.copy(child = Repartition(1, shuffle = true, node.child))
      Some(filter.withNewChildren(Seq(node.withNewChildren(Seq(sorted)))))
    case _ => None
  }

  private def canSort(sort: Sort, child: LogicalPlan): Boolean =
    sort.order.forall(key => key.deterministic && key.references.subsetOf(child.outputSet))

  /** Returns the sort by what a projection computes its keys from. */
  private def resolve(sort: Sort, project: Project): Sort = {
    val aliases = getAliasMap(project)
    sort.copy(order = sort.order.map(replaceAlias(_, aliases).asInstanceOf[SortOrder]))
  }
}
