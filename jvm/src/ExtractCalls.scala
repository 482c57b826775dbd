package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern._

/**
 * Pulls every call out of expressions into an ArrowEvalPython node of its own, early, so that the stock rules, which know
 * that node, push filters and limits below it and cannot copy it. A call that is computed already is reused. A call in a
 * conditional position gets the condition as an extra boolean argument, so that rows that do not want it make no call.
 */
object ExtractCalls extends Rule[LogicalPlan] with PredicateHelper {
  /** Canonicalized calls and the attributes that hold their results. */
  private type Known = Map[Expression, Attribute]

  def apply(plan: LogicalPlan): LogicalPlan = {
    val open = plan.transformWithPruning(_.containsPattern(FILTER)) { case Filter(_: CteGuard, child) => child }
    if (open.exists(_.expressions.exists(Calls.hasCall))) keepOutput(extract(open)._1, open.output) else open
  }

  private def keepOutput(plan: LogicalPlan, output: Seq[Attribute]): LogicalPlan =
    if (plan.output.map(_.exprId) == output.map(_.exprId)) plan else Project(output, plan)

  /** Returns a plan whose output starts with the old one's, and what it has computed. */
  private def extract(plan: LogicalPlan): (LogicalPlan, Known) = plan match {
    case p if !p.containsPattern(PYTHON_UDF) => (p, Map.empty)
    case p: ArrowEvalPython if p.udfs.forall(Calls.isCall) =>
      val (child, known) = extract(p.child)
      (p.withNewChildren(Seq(child)), known ++ p.udfs.map(_.canonicalized).zip(p.resultAttrs))
    case Filter(condition, child) => filter(condition, child)
    case Project(list, child) => project(list, child)
    case s: Sort =>
      val (child, known) = extract(s.child)
      val below = new Below(child, known)
      val order = s.order.map(below.of(_, None).asInstanceOf[SortOrder])
      (s.copy(order = order, child = below.child), below.known)
    case l @ (_: LocalLimit | _: GlobalLimit) =>
      val (child, known) = extract(l.children.head)
      (l.withNewChildren(Seq(child)), known)
    case a: Aggregate if Groups.haveCallsAbove(a) => extract(Groups.callsAbove(a))
    case u: UnaryNode => unary(u)
    case other => several(other)
  }

  /** Cheap conditions first: what they leave out makes no call. */
  private def filter(condition: Expression, child: LogicalPlan): (LogicalPlan, Known) = {
    val (inner, known) = extract(child)
    val (costly, cheap) = splitConjunctivePredicates(condition).partition(Calls.hasCall)
    val split = cheap.nonEmpty && costly.nonEmpty && cheap.forall(_.deterministic)
    val below = new Below(if (split) Filter(cheap.reduce(And), inner) else inner, known)
    val rest = below.of(if (split) costly.reduce(And) else condition, None)
    (Filter(rest, below.child), below.known)
  }

  /** Results ride along, so that an operator above can reuse them; column pruning drops what nobody reads. */
  private def project(list: Seq[NamedExpression], child: LogicalPlan): (LogicalPlan, Known) = {
    val (inner, known) = extract(child)
    val below = new Below(inner, known)
    val columns = list.map(below.of(_, None).asInstanceOf[NamedExpression])
    val kept = AttributeSet(columns.collect { case a: Attribute => a })
    val renamed = columns.collect { case a @ Alias(r: Attribute, _) => r.exprId -> a.toAttribute }.toMap
    val riding = below.known.values.toSeq.distinct
      .filter(a => below.child.outputSet.contains(a) && !kept.contains(a) && !renamed.contains(a.exprId))
    (Project(columns ++ riding, below.child), below.known.map { case (call, a) => call -> renamed.getOrElse(a.exprId, a) })
  }

  private def unary(node: UnaryNode): (LogicalPlan, Known) = {
    val (child, known) = extract(node.child)
    val below = new Below(child, known)
    val mapped = node.mapExpressions(below.of(_, None))
    val fixed = node match {
      case _: Aggregate | _: Window | _: Generate | _: Expand => below.child // these do not hand their child's output on
      case _ if node.expressions.exists(Calls.hasCall) => below.child // it reads an answer
      case _ => keepOutput(below.child, node.child.output)
    }
    (keepOutput(mapped.withNewChildren(Seq(fixed)), node.output), Map.empty)
  }

  private def several(node: LogicalPlan): (LogicalPlan, Known) = {
    val children = node.children.map(child => keepOutput(extract(child)._1, child.output))
    node.withNewChildren(children) match {
      case join: Join if join.condition.exists(Calls.hasCall) =>
        val left = new Below(join.left, Map.empty)
        val right = new Below(join.right, Map.empty)
        val condition = right.of(left.of(join.condition.get, None), None)
        (keepOutput(join.copy(left = left.child, right = right.child, condition = Some(condition)), join.output), Map.empty)
      case other => (other, Map.empty)
    }
  }

  /** What stands below an operator while its calls are moved there. */
  private class Below(var child: LogicalPlan, var known: Known) {
    private var trying = false

    /** Returns the expression with attributes in place of its calls; `wanted`: the condition under which it is read. */
    def of(expression: Expression, wanted: Option[Expression]): Expression = expression match {
      case e if !Calls.hasCall(e) => e
      case Tried(inner) => tried(inner, wanted)
      case If(test, yes, no) =>
        val tested = of(test, wanted)
        If(tested, of(yes, and(wanted, isTrue(tested))), of(no, and(wanted, Not(isTrue(tested)))))
      case CaseWhen(branches, otherwise) =>
        var left = wanted
        val cases = branches.map { case (test, value) =>
          val tested = of(test, left)
          val result = of(value, and(left, isTrue(tested)))
          left = and(left, Not(isTrue(tested)))
          (tested, result)
        }
        CaseWhen(cases, otherwise.map(of(_, left)))
      case Coalesce(values) =>
        var left = wanted
        Coalesce(values.map { value =>
          val result = of(value, left)
          left = and(left, IsNull(result))
          result
        })
      case And(first, second) =>
        val tested = of(first, wanted)
        And(tested, of(second, and(wanted, Not(EqualNullSafe(tested, Literal.FalseLiteral)))))
      case Or(first, second) =>
        val tested = of(first, wanted)
        Or(tested, of(second, and(wanted, Not(isTrue(tested)))))
      case subquery: SubqueryExpression => correlated(subquery, wanted)
      case udf: PythonUDF if Calls.isCall(udf) =>
        call(udf.withNewChildren(udf.children.map(of(_, wanted))).asInstanceOf[PythonUDF], wanted)
      case other => other.mapChildren(of(_, wanted))
    }

    /** What a subquery's condition reads of the outer rows is said by its outer attributes: an answer becomes one. */
    private def correlated(subquery: SubqueryExpression, wanted: Option[Expression]): Expression = {
      val mapped = subquery.mapChildren(of(_, wanted)).asInstanceOf[SubqueryExpression]
      val (outer, conditions) = mapped match {
        case s: Exists => (s.outerAttrs, s.joinCond)
        case s: ListQuery => (s.outerAttrs, s.joinCond)
        case s: LateralSubquery => (s.outerAttrs, s.joinCond)
        case s: ScalarSubquery => (s.outerAttrs, s.joinCond)
        case _ => (Nil, Nil)
      }
      val read = AttributeSet(conditions.flatMap(_.references))
      val answers = known.values.toSeq.distinct.filter(a => read.contains(a) && !outer.contains(a))
      if (answers.isEmpty) mapped else mapped.withNewOuterAttrs(outer ++ answers)
    }

    /** Within TRY a condition that cannot be evaluated asks for nothing, and fails nothing. */
    private def tried(inner: Expression, wanted: Option[Expression]): Expression = {
      val before = trying
      trying = true
      try Tried(of(inner, wanted)) finally trying = before
    }

    private def call(udf: PythonUDF, wanted: Option[Expression]): Expression =
      if (!udf.references.subsetOf(child.outputSet) || udf.exists(_.isInstanceOf[AggregateExpression])) udf
      else computed(udf).getOrElse {
        val guarded = wanted.filter(w => w.deterministic && w.references.subsetOf(child.outputSet)).map(guard(udf, _)).getOrElse(udf)
        computed(guarded).getOrElse(evaluate(guarded))
      }

    private def computed(udf: PythonUDF): Option[Attribute] = known.get(udf.canonicalized).filter(child.outputSet.contains)

    private def guard(udf: PythonUDF, condition: Expression): PythonUDF =
      udf.copy(func = Calls.functionOf(udf).changed(_.copy(guarded = true)), children = udf.children :+ condition)

    private def evaluate(udf: PythonUDF): Attribute = {
      // Stock ExtractPythonUDFs skips ArrowEvalPython, so another Python UDF in an argument gets a Project of its own below.
      val arguments = udf.children.map(c => if (c.exists(_.isInstanceOf[PythonUDF])) Alias(c, "argument")() else c)
      val fresh = arguments.collect { case a: Alias => a }
      if (fresh.nonEmpty) child = Project(child.output ++ fresh, child)
      val ready = udf.copy(children = arguments.map { case a: Alias => a.toAttribute; case c => c })
      val result = AttributeReference(udf.name, udf.dataType)()
      child = ArrowEvalPython(Seq(ready), Seq(result), child, udf.evalType)
      known += udf.canonicalized -> result
      result
    }

    private def and(first: Option[Expression], second: Expression) = {
      val safe = if (trying) Tried(second) else second
      Some(first.map(And(_, safe)).getOrElse(safe))
    }
    private def isTrue(condition: Expression) = EqualNullSafe(condition, Literal.TrueLiteral)
  }
}
