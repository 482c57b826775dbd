package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF

/**
 * Moves each call from an expression to an ArrowEvalPython node of its own.
 *
 * It runs early, so that Spark's rules, which handle that node, push filters and limits below it and cannot copy it.
 * A call that the plan has computed below is reused. A call in a conditional position gets the condition as an
 * additional BOOLEAN argument, so that rows for which it is false send no request. CallExtractor does this for the
 * expressions of one operator.
 */
object ExtractCalls extends Rule[LogicalPlan] with PredicateHelper {
  def apply(plan: LogicalPlan): LogicalPlan = {
    val open = KeepCte.removeGuards(plan)
    if (Calls.planHasCall(open)) extractExactly(open)
    else open
  }

  /** Returns the plan without calls in expressions, with the output of the original plan. */
  private def extractExactly(plan: LogicalPlan): LogicalPlan = {
    val extracted = extract(plan)
    ExtractedPlan.restoreOutput(extracted.plan, plan.output)
  }

  private def extract(plan: LogicalPlan): ExtractedPlan = plan match {
    case other if !other.containsPattern(PYTHON_UDF) => ExtractedPlan(other)
    case CallNode(node) => extractNode(node)
    case filter: Filter => extractFilter(filter)
    case project: Project => extractProject(project)
    case sort: Sort => extractSort(sort)
    case limit @ (_: LocalLimit | _: GlobalLimit) => extractLimit(limit)
    case aggregate: Aggregate if Groups.hasCallsToLift(aggregate) =>
      extract(Groups.liftCalls(aggregate))
    case unary: UnaryNode => extractUnary(unary)
    case other => extractChildren(other)
  }

  private def extractNode(node: ArrowEvalPython): ExtractedPlan = {
    val inner = extract(node.child)
    val answers = node.udfs.map(_.canonicalized).zip(node.resultAttrs)
    val plan = node.withNewChildren(Seq(inner.plan))
    ExtractedPlan(plan, inner.answers ++ answers)
  }

  /** Applies conditions without calls first, so that the rows that they remove send no request. */
  private def extractFilter(filter: Filter): ExtractedPlan = {
    val inner = extract(filter.child)
    val (costly, cheap) = splitConjunctivePredicates(filter.condition).partition(Calls.hasCall)
    val canSplit = cheap.nonEmpty && costly.nonEmpty && cheap.forall(_.deterministic)
    if (canSplit) {
      val first = Filter(cheap.reduce(And(_, _)), inner.plan)
      addFilter(costly.reduce(And(_, _)), first, inner.answers)
    } else addFilter(filter.condition, inner.plan, inner.answers)
  }

  private def addFilter(
      condition: Expression, child: LogicalPlan, answers: Map[Expression, Attribute]): ExtractedPlan = {
    val extractor = new CallExtractor(child, answers)
    val extracted = extractor.extract(condition)
    ExtractedPlan(Filter(extracted, extractor.child), extractor.answers)
  }

  /**
   * Adds the answers to the output, so that an operator above can reuse them. Column pruning drops the unread ones.
   */
  private def extractProject(project: Project): ExtractedPlan = {
    val inner = extract(project.child)
    val extractor = new CallExtractor(inner.plan, inner.answers)
    val columns = project.projectList.map(extractor.extractNamed)
    val names = findNames(columns)
    val added = extractor.answers.values.toSeq.distinct
      .filter(answer => extractor.child.outputSet.contains(answer))
      .filter(answer => !names.contains(answer.exprId))
    val answers = extractor.answers.map { case (call, answer) =>
      call -> names.getOrElse(answer.exprId, answer)
    }
    ExtractedPlan(Project(columns ++ added, extractor.child), answers)
  }

  /** Returns the attributes that columns pass on, and their names in the output. */
  private def findNames(columns: Seq[NamedExpression]): Map[ExprId, Attribute] = {
    val passed = columns.collect { case attribute: Attribute => attribute.exprId -> attribute }
    val renamed = columns.collect { case alias @ Alias(source: Attribute, _) =>
      source.exprId -> alias.toAttribute
    }
    (passed ++ renamed).toMap
  }

  private def extractSort(sort: Sort): ExtractedPlan = {
    val inner = extract(sort.child)
    val extractor = new CallExtractor(inner.plan, inner.answers)
    val order = sort.order.map(extractor.extract)
    val plan = sort.copy(order = order.map(_.asInstanceOf[SortOrder]), child = extractor.child)
    ExtractedPlan(plan, extractor.answers)
  }

  private def extractLimit(limit: LogicalPlan): ExtractedPlan = {
    val inner = extract(limit.children.head)
    ExtractedPlan(limit.withNewChildren(Seq(inner.plan)), inner.answers)
  }

  private def extractUnary(node: UnaryNode): ExtractedPlan = {
    val inner = extract(node.child)
    val extractor = new CallExtractor(inner.plan, inner.answers)
    val changed = node.mapExpressions(extractor.extract)
    val child =
      if (allowsLargerInput(node)) extractor.child
      else ExtractedPlan.restoreOutput(extractor.child, node.child.output)
    val result = changed.withNewChildren(Seq(child))
    ExtractedPlan(ExtractedPlan.restoreOutput(result, node.output))
  }

  /** Returns whether the operator may read additional columns: they are not in its output, or it reads an answer. */
  private def allowsLargerInput(node: UnaryNode): Boolean = node match {
    case _: Aggregate | _: Window | _: Generate | _: Expand => true
    case _ => node.expressions.exists(Calls.hasCall)
  }

  private def extractChildren(node: LogicalPlan): ExtractedPlan = {
    val children = node.children.map(extractExactly)
    node.withNewChildren(children) match {
      case join: Join if join.condition.exists(Calls.hasCall) => extractJoin(join)
      case other => ExtractedPlan(other)
    }
  }

  /** Moves each call of a join's condition to the side whose columns it reads. */
  private def extractJoin(join: Join): ExtractedPlan = {
    val left = new CallExtractor(join.left, Map.empty)
    val right = new CallExtractor(join.right, Map.empty)
    val condition = join.condition.map(left.extract).map(right.extract)
    val changed = join.copy(left.child, right.child, condition = condition)
    ExtractedPlan(ExtractedPlan.restoreOutput(changed, join.output))
  }
}
