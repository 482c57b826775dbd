package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.logical.{ArrowEvalPython, LogicalPlan, Project}

/**
 * Replaces the calls in the expressions of one operator by attributes, and adds the nodes that compute them to the
 * operator's child.
 *
 * @param initialChild the child of the operator
 * @param initialAnswers the answers that the child has computed
 */
class CallExtractor(initialChild: LogicalPlan, initialAnswers: Map[Expression, Attribute]) {
  private var currentChild = initialChild
  private var currentAnswers = initialAnswers
  private var isInsideTry = false

  /** The child with the nodes of the calls that were extracted so far. */
  def child: LogicalPlan = currentChild

  def answers: Map[Expression, Attribute] = currentAnswers

  def extract(expression: Expression): Expression = extract(expression, None)

  def extractNamed(expression: NamedExpression): NamedExpression =
    extract(expression).asInstanceOf[NamedExpression]

  /** Extracts from an expression that is read only for rows where `condition` is true. */
  private def extract(expression: Expression, condition: Option[Expression]): Expression = expression match {
    case other if !Calls.hasCall(other) => other
    case NullOnError(inner) => extractTry(inner, condition)
    case branch: If => extractIf(branch, condition)
    case branches: CaseWhen => extractCase(branches, condition)
    case Coalesce(values) => extractCoalesce(values, condition)
    case And(left, right) =>
      val first = extract(left, condition)
      And(first, extract(right, conjoin(condition, isNotFalse(first))))
    case Or(left, right) =>
      val first = extract(left, condition)
      Or(first, extract(right, conjoin(condition, isNotTrue(first))))
    case subquery: SubqueryExpression => extractOuter(subquery, condition)
    case call: PythonUDF if Calls.isCall(call) =>
      val arguments = call.children.map(extract(_, condition))
      val inner = call.withNewChildren(arguments)
      extractCall(inner.asInstanceOf[PythonUDF], condition)
    case other => other.mapChildren(extract(_, condition))
  }

  private def extractIf(branch: If, condition: Option[Expression]): Expression = {
    val test = extract(branch.predicate, condition)
    val whenTrue = extract(branch.trueValue, conjoin(condition, isTrue(test)))
    val whenFalse = extract(branch.falseValue, conjoin(condition, isNotTrue(test)))
    If(test, whenTrue, whenFalse)
  }

  private def extractCase(expression: CaseWhen, condition: Option[Expression]): Expression = {
    var remaining = condition
    val branches = expression.branches.map { case (predicate, value) =>
      val test = extract(predicate, remaining)
      val result = extract(value, conjoin(remaining, isTrue(test)))
      remaining = conjoin(remaining, isNotTrue(test))
      (test, result)
    }
    val otherwise = expression.elseValue.map(extract(_, remaining))
    CaseWhen(branches, otherwise)
  }

  private def extractCoalesce(values: Seq[Expression], condition: Option[Expression]): Expression = {
    var remaining = condition
    val results = values.map { value =>
      val result = extract(value, remaining)
      remaining = conjoin(remaining, IsNull(result))
      result
    }
    Coalesce(results)
  }

  /** Inside TRY a condition that cannot be evaluated selects no row and raises no error. */
  private def extractTry(inner: Expression, condition: Option[Expression]): Expression = {
    val wasInsideTry = isInsideTry
    isInsideTry = true
    try NullOnError(extract(inner, condition))
    finally isInsideTry = wasInsideTry
  }

  /** A subquery lists the columns of the outer query that its conditions read, so answers are added to that list. */
  private def extractOuter(subquery: SubqueryExpression, condition: Option[Expression]): Expression = {
    val changed = subquery.mapChildren(extract(_, condition)).asInstanceOf[SubqueryExpression]
    val (outer, conditions) = changed match {
      case s: Exists => (s.outerAttrs, s.joinCond)
      case s: ListQuery => (s.outerAttrs, s.joinCond)
      case s: LateralSubquery => (s.outerAttrs, s.joinCond)
      case s: ScalarSubquery => (s.outerAttrs, s.joinCond)
      case _ => (Nil, Nil)
    }
    val references = AttributeSet(conditions.flatMap(_.references))
    val added = answers.values.toSeq.distinct.filter { answer =>
      references.contains(answer) && !outer.contains(answer)
    }
    if (added.isEmpty) changed else changed.withNewOuterAttrs(outer ++ added)
  }

  private def extractCall(call: PythonUDF, condition: Option[Expression]): Expression =
    if (canMove(call)) {
      // An unconditional answer serves a conditional call, but not the reverse.
      findAnswer(call).getOrElse {
        val conditional = addCondition(call, condition)
        findAnswer(conditional).getOrElse(addNode(conditional))
      }
    } else call

  private def canMove(call: PythonUDF): Boolean = {
    val hasAggregate = call.exists(_.isInstanceOf[AggregateExpression])
    !hasAggregate && isComputable(call)
  }

  private def isComputable(expression: Expression): Boolean =
    expression.references.subsetOf(child.outputSet)

  private def findAnswer(call: PythonUDF): Option[Attribute] =
    answers.get(call.canonicalized).filter(child.outputSet.contains)

  private def addCondition(call: PythonUDF, condition: Option[Expression]): PythonUDF = condition match {
    case Some(test) if test.deterministic && isComputable(test) =>
      val conditional = Calls.mapCalls(call)(_.copy(hasCondition = true))
      conditional.copy(children = call.children :+ test)
    case _ => call
  }

  private def addNode(call: PythonUDF): Attribute = {
    val arguments = call.children.map(nameComputed)
    val computed = arguments.collect { case alias: Alias => alias }
    if (computed.nonEmpty) currentChild = Project(child.output ++ computed, child)
    val inputs = arguments.map {
      case alias: Alias => alias.toAttribute
      case argument => argument
    }
    val answer = AttributeReference(call.name, call.dataType)()
    val node = call.copy(children = inputs)
    currentChild = ArrowEvalPython(Seq(node), Seq(answer), child, call.evalType)
    currentAnswers += call.canonicalized -> answer
    answer
  }

  /**
   * Names an argument that contains another Python UDF or a subquery, so that a Project below the node computes it.
   * Spark's ExtractPythonUDFs does not look into an ArrowEvalPython. A task compares the arguments of a node, and cannot
   * compare a subquery whose plan has such a node: that is made on the driver only.
   */
  private def nameComputed(argument: Expression): Expression =
    if (argument.exists(isComputedBelow)) Alias(argument, "argument")()
    else argument

  private def isComputedBelow(expression: Expression): Boolean =
    expression.isInstanceOf[PythonUDF] || expression.isInstanceOf[SubqueryExpression]

  private def conjoin(condition: Option[Expression], test: Expression): Option[Expression] = {
    val safe = if (isInsideTry) NullOnError(test) else test
    condition match {
      case Some(other) => Some(And(other, safe))
      case None => Some(safe)
    }
  }

  private def isTrue(test: Expression): Expression = EqualNullSafe(test, Literal.TrueLiteral)

  private def isNotTrue(test: Expression): Expression = Not(isTrue(test))

  private def isFalse(test: Expression): Expression = EqualNullSafe(test, Literal.FalseLiteral)

  private def isNotFalse(test: Expression): Expression = Not(isFalse(test))
}
