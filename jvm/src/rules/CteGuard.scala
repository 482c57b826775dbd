package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{LeafExpression, Predicate}
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, EmptyBlock, ExprCode}
import org.apache.spark.sql.catalyst.expressions.codegen.{FalseLiteral, TrueLiteral}

/**
 * A condition that is always true and not deterministic. Spark does not inline a CTE that contains such an expression
 * into each place that reads it.
 */
case class CteGuard() extends LeafExpression with Predicate {
  override lazy val deterministic: Boolean = false

  override def nullable: Boolean = false

  override def eval(input: InternalRow): Any = true

  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode =
    code.copy(code = EmptyBlock, isNull = FalseLiteral, value = TrueLiteral)
}
