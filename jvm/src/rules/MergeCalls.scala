package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.catalyst.trees.TreePattern.PYTHON_UDF
import org.apache.spark.sql.types.{StructField, StructType}

/**
 * Merges stacked calls that do not depend on each other into one call that returns a STRUCT. They share one Python
 * worker and are in flight at once. Spark alone would start a worker for each, and pass batches of rows between them.
 */
object MergeCalls extends Rule[LogicalPlan] {
  private val name = "ai_calls"

  /** One call and the attribute that holds its answer. */
  private case class Answer(call: PythonUDF, attribute: Attribute)

  /** Independent calls, the lowest first, and the plan below them. */
  private case class Stack(answers: Seq[Answer], base: LogicalPlan)

  def apply(plan: LogicalPlan): LogicalPlan =
    plan.transformDownWithPruning(_.containsPattern(PYTHON_UDF)) {
      case node: ArrowEvalPython =>
        val stack = collectStack(node)
        if (stack.answers.size > 1) merge(stack) else node
    }

  private def collectStack(plan: LogicalPlan): Stack = plan match {
    case ArrowEvalPython(Seq(call), Seq(attribute), child, _) if isSingle(call) =>
      val answer = Answer(call, attribute)
      val below = collectStack(child)
      val lower = AttributeSet(below.answers.map(_.attribute))
      val isDependent = call.references.intersect(lower).nonEmpty
      if (isDependent) Stack(Seq(answer), child)
      else Stack(below.answers :+ answer, below.base)
    case other => Stack(Nil, other)
  }

  private def isSingle(call: PythonUDF): Boolean =
    Calls.isCall(call) && !Calls.getFunction(call).isMerged

  private def merge(stack: Stack): LogicalPlan = {
    val calls = stack.answers.map(_.call)
    val fields = calls.zipWithIndex.map { case (call, i) =>
      StructField(s"c$i", call.dataType)
    }
    val returns = StructType(fields)
    val merged = mergeFunctions(calls, returns)
    val attribute = AttributeReference(name, merged.dataType)()
    val node = ArrowEvalPython(Seq(merged), Seq(attribute), stack.base, merged.evalType)
    val struct = Versions.unwrap(attribute, returns)
    val columns = stack.answers.zipWithIndex.map { case (Answer(_, answer), i) =>
      val field = GetStructField(struct, i)
      Alias(field, answer.name)(exprId = answer.exprId)
    }
    Project(stack.base.output ++ columns, node)
  }

  private def mergeFunctions(calls: Seq[PythonUDF], returns: StructType): PythonUDF = {
    val functions = calls.map(Calls.getFunction)
    val first = functions.head
    val function = first.copy(calls = functions.flatMap(_.calls))(first.planId)
    val arguments = calls.flatMap(_.children)
    val transport = Versions.transportType(returns)
    PythonUDF(name, function, transport, arguments, calls.head.evalType, udfDeterministic = true)
  }
}
