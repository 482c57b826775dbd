package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Alias, AttributeReference, IntegerLiteral, PythonUDF}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.{LIMIT, PYTHON_UDF}

/**
 * Tells a call below a filter and a limit how many rows are wanted: its node then asks in waves (see WaveIterator).
 *
 * It follows operators that pass rows on in their order, one by one.
 */
object WantedRows extends Rule[LogicalPlan] {
  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformDownWithPruning(_.containsAllPatterns(LIMIT, PYTHON_UDF)) {
      case limit @ LocalLimit(IntegerLiteral(count), child) =>
        limit.withNewChildren(Seq(mark(child, count, isFiltered = false)))
    }

  private def mark(plan: LogicalPlan, count: Int, isFiltered: Boolean): LogicalPlan = plan match {
    case filter: Filter => filter.withNewChildren(Seq(mark(filter.child, count, isFiltered = true)))
    case CallNode(node) if isFiltered =>
      val udfs = node.udfs.map(Calls.mapFunction(_)(_.want(count)))
      val child = mark(node.child, count, isFiltered)
      raiseOnRead(ArrowEvalPython(udfs, node.resultAttrs, child, node.evalType))
    case _: Project | _: ArrowEvalPython | _: Union =>
      plan.withNewChildren(plan.children.map(mark(_, count, isFiltered)))
    case other => other
  }

  /** Lets a failed row fail the query only if the row is read. */
  private def raiseOnRead(node: ArrowEvalPython): LogicalPlan = (node.udfs, node.resultAttrs) match {
    case (Seq(udf), Seq(answer)) if failsOnError(udf) =>
      val returns = AnswerStruct.typeOf(udf.dataType)
      val quiet = Calls.mapCalls(udf)(_.returnErrors(inArray = false)).copy(dataType = returns)
      val result = AttributeReference(answer.name, returns)()
      val asked = ArrowEvalPython(Seq(quiet), Seq(result), node.child, node.evalType)
      val raised = Alias(RaisedAnswer(result, udf.dataType), answer.name)(exprId = answer.exprId)
      Project(node.child.output :+ raised, asked)
    case _ => node
  }

  /** On 4.0 a STRUCT travels in another form: there a failed row of a wave fails the query. */
  private def failsOnError(udf: PythonUDF): Boolean = {
    val calls = Calls.getFunction(udf).calls
    val isStrict = calls.forall { call => !call.nullOnError && !call.estimateOnly && call.failOnError.getOrElse(true) }
    Versions.hasArrowIterator && calls.size == 1 && isStrict
  }
}
