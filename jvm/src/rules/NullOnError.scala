package org.apache.spark.sql.aiquery

import scala.util.control.NonFatal

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.types.DataType

/**
 * NULL where the child fails. Spark's own TryEval does not serve here: the optimizer pushes it into the branches of a
 * CASE whose values are constant.
 */
case class NullOnError(child: Expression) extends Expression with CodegenFallback {
  override def children: Seq[Expression] = Seq(child)

  override def dataType: DataType = child.dataType

  override def nullable: Boolean = true

  override def foldable: Boolean = child.foldable

  override def eval(input: InternalRow): Any =
    try child.eval(input)
    catch { case NonFatal(_) => null }

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Expression =
    copy(newChildren.head)
}
