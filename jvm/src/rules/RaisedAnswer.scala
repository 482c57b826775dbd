package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Expression, UnaryExpression}
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.types.DataType

/**
 * The answer of a call that returns its errors as values. It raises the error of a row when the row is read: a limit
 * may end before a row that failed.
 *
 * @param child a STRUCT of result and errorMessage
 */
case class RaisedAnswer(child: Expression, answerType: DataType) extends UnaryExpression with CodegenFallback {
  override def dataType: DataType = answerType

  override def nullable: Boolean = true

  override def foldable: Boolean = false

  override def eval(input: InternalRow): Any = {
    val value = child.eval(input)
    if (value == null) null
    else AnswerStruct.read(value.asInstanceOf[InternalRow], answerType)(Versions.pythonException)
  }

  override protected def withNewChildInternal(newChild: Expression): Expression = copy(child = newChild)
}
