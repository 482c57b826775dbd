package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, EmptyBlock, ExprCode, FalseLiteral, TrueLiteral}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern._

/** An ArrowEvalPython node that holds nothing but calls. */
object CallNode {
  def unapply(plan: LogicalPlan): Option[ArrowEvalPython] = plan match {
    case node: ArrowEvalPython if node.udfs.forall(Calls.isCall) => Some(node)
    case _ => None
  }

  def unread(node: ArrowEvalPython, references: AttributeSet): Boolean =
    references.intersect(AttributeSet(node.resultAttrs)).isEmpty
}

/** Limit over Sort over a call, where the order does not need the answer: sort and cut first, then ask. */
object SortFirst extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.transformWithPruning(_.containsAllPatterns(LIMIT, SORT)) {
    case top @ GlobalLimit(_, local @ LocalLimit(_, sort @ Sort(order, true, CallNode(node), _))) if free(order, node) =>
      node.withNewChildren(Seq(top.copy(child = local.copy(child = sort.copy(child = node.child)))))
    case top @ GlobalLimit(_, local @ LocalLimit(_, sort @ Sort(order, true, Project(list, CallNode(node)), _)))
        if free(order, node) && !needsAnswer(order, list, node) =>
      val (late, early) = list.partition(item => !CallNode.unread(node, item.references))
      val used = AttributeSet(node.udfs.flatMap(_.references) ++ late.flatMap(_.references)) -- node.resultAttrs
      val carried = used.filterNot(a => early.exists(_.exprId == a.exprId)).toSeq
      val cut = top.copy(child = local.copy(child = sort.copy(child = Project(early ++ carried, node.child))))
      Project(list.map(item => if (late.contains(item)) item else item.toAttribute), node.withNewChildren(Seq(cut)))
  }

  private def free(order: Seq[SortOrder], node: ArrowEvalPython) = order.forall(o => CallNode.unread(node, o.references))

  private def needsAnswer(order: Seq[SortOrder], list: Seq[NamedExpression], node: ArrowEvalPython) = {
    val sorted = AttributeSet(order.flatMap(_.references))
    list.exists(item => !CallNode.unread(node, item.references) && sorted.contains(item.toAttribute))
  }
}

/** A call whose answer nobody reads is dropped; a global sort gets an exchange below, else its range sampling asks twice. */
object DropUnread extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.transformWithPruning(_.containsPattern(PYTHON_UDF)) {
    case p @ Project(list, CallNode(node)) if CallNode.unread(node, AttributeSet(list.flatMap(_.references))) =>
      p.copy(child = node.child)
    case a: Aggregate if CallNode.unapply(a.child).exists(CallNode.unread(_, a.references)) =>
      a.withNewChildren(Seq(a.child.children.head))
    case s @ Sort(_, true, child, _) if sameStage(child) => s.copy(child = RebalancePartitions(Nil, child))
  }

  /** Whether a call can be reached without an exchange in between. */
  private def sameStage(plan: LogicalPlan): Boolean = plan match {
    case CallNode(_) => true
    case _: Project | _: Filter | _: Generate | _: ArrowEvalPython | _: Union => plan.children.exists(sameStage)
    case _ => false
  }
}

/** Always true and not deterministic: keeps Spark from copying a CTE that holds calls into each place that reads it. */
case class CteGuard() extends LeafExpression with Predicate {
  override lazy val deterministic: Boolean = false
  override def nullable: Boolean = false
  override def eval(input: InternalRow): Any = true
  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode =
    code.copy(code = EmptyBlock, isNull = FalseLiteral, value = TrueLiteral)
}

object KeepCte extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan = plan.resolveOperatorsWithPruning(_.containsPattern(CTE)) {
    case cte: WithCTE => cte.withNewChildren(cte.cteDefs.map(guarded) :+ cte.plan)
  }

  private def guarded(definition: CTERelationDef): LogicalPlan = definition.child match {
    case Filter(_: CteGuard, _) => definition
    case child if child.exists(_.expressions.exists(Calls.hasCall)) =>
      definition.withNewChildren(Seq(Filter(CteGuard(), child)))
    case _ => definition
  }
}
