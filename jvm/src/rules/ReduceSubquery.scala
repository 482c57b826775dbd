package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.analysis.DeduplicateRelations
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.{Inner, LeftSemi}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{EXISTS_SUBQUERY, IN_SUBQUERY}

/**
 * Joins the rows of an IN or EXISTS subquery with the rows that are tested, before its filter asks about them: only
 * rows that can match send requests.
 */
object ReduceSubquery extends Rule[LogicalPlan] with PredicateHelper {
  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformWithPruning(_.containsAnyPattern(EXISTS_SUBQUERY, IN_SUBQUERY)) {
      case filter @ Filter(condition, child) if canRepeat(child) =>
        val parts = splitConjunctivePredicates(condition)
        val reduced = parts.map(reducePart(_, child))
        if (reduced == parts) filter else Filter(reduced.reduce(And(_, _)), child)
    }

  /** Returns whether the tested rows may be read twice: they are the same, and send no request. */
  private def canRepeat(child: LogicalPlan): Boolean =
    child.deterministic && !child.exists(CallNode.unapply(_).isDefined) && !Calls.planHasCall(child)

  /** A row with NULL decides about NOT IN, and about IN as a value: only IN as a condition is reduced. */
  private def reducePart(part: Expression, child: LogicalPlan): Expression = part match {
    case in @ InSubquery(values, query) =>
      val keys = values.zip(query.plan.output).map { case (value, key) => EqualTo(value, key) }
      val reduced = reduce(child, query.plan, keys ++ query.joinCond)
      in.copy(query = query.withNewPlan(reduced))
    case other => other.transform {
      case exists: Exists if exists.joinCond.nonEmpty =>
        exists.withNewPlan(reduce(child, exists.plan, exists.joinCond))
    }
  }

  private def reduce(tested: LogicalPlan, subquery: LogicalPlan, conditions: Seq[Expression]): LogicalPlan = {
    val reduced = for {
      asked <- Asked.find(subquery)
      if !asked.node.udfs.exists(Calls.getFunction(_).isReduced)
      matches = resolve(conditions, asked)
      if matches.references.subsetOf(tested.outputSet ++ asked.node.child.outputSet)
      copy <- copyOf(tested)
    } yield {
      val renamed = AttributeMap(tested.output.zip(copy.output))
      val condition = matches.transform { case key: Attribute => renamed.getOrElse(key, key) }
      val matching = Join(asked.node.child, copy, LeftSemi, Some(condition), JoinHint.NONE)
      val udfs = asked.node.udfs.map(Calls.mapFunction(_)(_.markReduced))
      val node = ArrowEvalPython(udfs, asked.node.resultAttrs, matching, asked.node.evalType)
      Project(asked.columns, Filter(asked.condition, node))
    }
    reduced.getOrElse(subquery)
  }

  /** Returns the conditions by what the subquery's projection computes its columns from. */
  private def resolve(conditions: Seq[Expression], asked: Asked): Expression = {
    val inner = conditions.map(_.transform { case OuterReference(key) => key })
    // The overload for a list of columns has another type on 4.3 than on 4.0.
    replaceAlias(inner.reduce(And(_, _)), getAliasMap(Project(asked.columns, asked.node)))
  }

  /** Returns the same plan with other attributes; None if Spark cannot make one. */
  private def copyOf(plan: LogicalPlan): Option[LogicalPlan] =
    DeduplicateRelations(Join(plan, plan, Inner, None, JoinHint.NONE)) match {
      case Join(_, copy, _, _, _) if copy.outputSet.intersect(plan.outputSet).isEmpty => Some(copy)
      case _ => None
    }
}
