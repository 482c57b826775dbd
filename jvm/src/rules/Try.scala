package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.types.{ArrayType, DataType, StringType}

/**
 * The SQL function TRY(expr), which Apache Spark does not have: NULL where any part of the expression fails.
 *
 * Calls run in a node of their own, outside of the expression. So a failed call returns its error as a value, and an
 * argument that cannot be evaluated does the same. CallResult raises the error where the expression reads the answer,
 * and NullOnError replaces it by NULL.
 */
object Try {
  val name = "try"
  val usage = "_FUNC_(expr) - expr, or NULL where it fails"

  def build(arguments: Seq[Expression]): Expression = arguments match {
    case Seq(answer @ Answer(call, _)) if call.children.forall(cannotFail) =>
      returnNullOnError(answer)
    case Seq(expression) => NullOnError(raiseOnRead(expression))
    case _ => throw new CallError(s"try takes one argument, not ${arguments.size}.")
  }

  /** Matches a call with the type of its answer. On 4.0 a STRUCT or a VARIANT travels as an ARRAY of one element. */
  private object Answer {
    def unapply(expression: Expression): Option[(PythonUDF, DataType)] = expression match {
      case GetArrayItem(call: PythonUDF, _, _) if isInArray(call) =>
        Some(call -> call.dataType.asInstanceOf[ArrayType].elementType)
      case call: PythonUDF if Calls.isCall(call) && !isInArray(call) =>
        Some(call -> call.dataType)
      case _ => None
    }

    private def isInArray(call: PythonUDF): Boolean =
      Calls.isCall(call) && Calls.getFunction(call).calls.head.inArray
  }

  /** The worker itself returns NULL for a failed row. */
  private def returnNullOnError(answer: Expression): Expression = answer.transformUp {
    case call: PythonUDF if Calls.isCall(call) =>
      Calls.mapCalls(call)(_.copy(nullOnError = true))
  }

  /** Returns the expression with calls that raise their errors where it reads them. */
  private def raiseOnRead(expression: Expression): Expression = expression match {
    case Answer(call, answerType) => createResult(call, answerType)
    case other => other.mapChildren(raiseOnRead)
  }

  private def createResult(call: PythonUDF, answerType: DataType): Expression = {
    val arguments = call.children.map(prepareArgument)
    val failures = arguments.flatMap(_.attempt).map(IsNull(_))
    val answer = returnErrors(call, arguments.map(_.value), answerType)
    val hasErrorField = !returnsErrors(call)
    CallResult(CreateArray(failures), answer, hasErrorField, answerType)
  }

  private def returnErrors(call: PythonUDF, arguments: Seq[Expression], answerType: DataType): Expression =
    if (returnsErrors(call)) Versions.unwrap(call.copy(children = arguments), answerType)
    else {
      val returns = AnswerStruct.typeOf(answerType)
      val transport = Versions.transportType(returns)
      val inArray = transport != returns
      val changed = Calls.mapCalls(call)(_.returnErrors(inArray))
      val typed = changed.copy(dataType = transport, children = arguments)
      Versions.unwrap(typed, returns)
    }

  /** Returns whether the user's own failOnError => false makes errors part of the answer. */
  private def returnsErrors(call: PythonUDF): Boolean =
    Calls.getFunction(call).calls.head.failOnError.contains(false)

  /**
   * An argument as the call reads it.
   *
   * @param attempt an expression that is NULL where the argument cannot be evaluated, None if it always can
   */
  private case class Argument(value: Expression, attempt: Option[Expression])

  private def prepareArgument(value: Expression): Argument =
    if (cannotFail(value)) Argument(value, None)
    else {
      // The struct distinguishes an argument that is NULL from one that fails.
      val struct = CreateNamedStruct(Seq(Literal("value"), raiseOnRead(value)))
      val attempt = NullOnError(struct)
      Argument(GetStructField(attempt, 0), Some(attempt))
    }

  private def cannotFail(expression: Expression): Boolean = expression match {
    case _: Attribute | _: OuterReference | _: Literal => true
    case Cast(child, StringType, _, _) => cannotFail(child)
    case _: Concat | _: Upper | _: Lower | _: GetStructField | _: CreateNamedStruct | _: SortArray =>
      expression.children.forall(cannotFail)
    case _ => false
  }
}
