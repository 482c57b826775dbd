package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{BinaryExpression, Expression}
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.types.DataType

/**
 * The answer of a call that returns its errors as values. It raises the error of the call, or of an argument that
 * cannot be evaluated, where an expression reads the answer.
 *
 * @param failures an ARRAY of BOOLEANs: whether each argument failed
 * @param call the answer, or a STRUCT of result and errorMessage
 * @param hasErrorField whether `call` is such a STRUCT
 * @param answerType the type of the answer
 */
case class CallResult(failures: Expression, call: Expression, hasErrorField: Boolean, answerType: DataType)
  extends BinaryExpression with CodegenFallback {

  override def left: Expression = failures

  override def right: Expression = call

  override def dataType: DataType = answerType

  override def nullable: Boolean = true

  override def foldable: Boolean = false

  override def eval(input: InternalRow): Any = {
    checkArguments(input)
    val value = call.eval(input)
    if (hasErrorField && value != null) AnswerStruct.read(value.asInstanceOf[InternalRow], answerType)(new CallFailed(_))
    else value
  }

  private def checkArguments(input: InternalRow): Unit = {
    val flags = failures.eval(input).asInstanceOf[ArrayData]
    for (i <- 0 until flags.numElements() if flags.getBoolean(i))
      throw new CallFailed("an argument of the call cannot be evaluated.")
  }

  override protected def withNewChildrenInternal(newLeft: Expression, newRight: Expression): Expression =
    copy(failures = newLeft, call = newRight)
}
