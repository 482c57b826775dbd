package org.apache.spark.sql.aiquery

import scala.util.control.NonFatal

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.types.{ArrayType, DataType, StringType, StructField, StructType}

/**
 * TRY(expr), which open-source Spark does not have: NULL where anything in it fails, a call of ours or what its argument
 * is made from. Calls are made in a node of their own, outside of the expression: there a failed one ends as a value, and
 * so does an argument that cannot be evaluated, which raise where the expression reads them (`Answered`).
 */
object Try {
  val name = "try"

  def build(arguments: Seq[Expression]): Expression = {
    if (arguments.size != 1) throw new CallError(s"try takes one argument, not ${arguments.size}.")
    arguments.head match {
      case Answer(call, _) if call.children.forall(cannotFail) => quiet(arguments.head)
      case other => Tried(raising(other))
    }
  }

  /** A call, with its type; on 4.0 a STRUCT or a VARIANT travels as an ARRAY of one. */
  private object Answer {
    def unapply(expression: Expression): Option[(PythonUDF, DataType)] = expression match {
      case GetArrayItem(call: PythonUDF, _, _) if travels(call) => Some(call -> call.dataType.asInstanceOf[ArrayType].elementType)
      case call: PythonUDF if Calls.isCall(call) && !travels(call) => Some(call -> call.dataType)
      case _ => None
    }

    private def travels(call: PythonUDF) = Calls.isCall(call) && Calls.functionOf(call).calls.head.wrapped
  }

  /** A failed row of the call is NULL: the worker says so by itself. */
  private def quiet(expression: Expression): Expression = expression.transformUp {
    case call: PythonUDF if Calls.isCall(call) => call.copy(func = Calls.functionOf(call).changed(_.copy(quiet = true)))
  }

  /** The expression, in which a failed call raises where it is read. */
  private def raising(expression: Expression): Expression = expression match {
    case Answer(call, answer) => raised(call, answer)
    case other => other.mapChildren(raising)
  }

  private def raised(call: PythonUDF, answer: DataType): Expression = {
    val (values, tried) = call.children.map(argument).unzip
    val described = Calls.functionOf(call).calls.head
    val told = described.failOnError.contains(false) // its errors are values already
    val kind = if (told) answer else StructType(Seq(StructField("result", answer), StructField("errorMessage", StringType)))
    val onTheWay = Versions.typeOnTheWay(kind)
    val function = Calls.functionOf(call).changed(c => if (told) c else c.withoutFailing(onTheWay != kind))
    val made = call.copy(func = function, dataType = onTheWay, children = values)
    val value = Versions.arrived(made, kind)
    Answered(CreateArray(tried.flatten.map(IsNull(_))), value, told, answer)
  }

  /** What the call reads of an argument, and what is NULL where that cannot be evaluated. */
  private def argument(value: Expression): (Expression, Option[Expression]) =
    if (cannotFail(value)) (value, None)
    else {
      val tried = Tried(CreateNamedStruct(Seq(Literal("value"), raising(value))))
      (GetStructField(tried, 0), Some(tried))
    }

  private def cannotFail(expression: Expression): Boolean = expression match {
    case _: Attribute | _: OuterReference | _: Literal => true
    case Cast(child, StringType, _, _) => cannotFail(child)
    case _: Concat | _: Upper | _: Lower | _: GetStructField | _: CreateNamedStruct | _: SortArray => expression.children.forall(cannotFail)
    case _ => false
  }
}

/** The answer of a call whose errors are values, raised where it is read, as is an argument that could not be evaluated. */
case class Answered(arguments: Expression, call: Expression, told: Boolean, answer: DataType)
  extends BinaryExpression with CodegenFallback {

  override def left: Expression = arguments
  override def right: Expression = call
  override def dataType: DataType = answer
  override def nullable: Boolean = true
  override def foldable: Boolean = false

  override def eval(input: InternalRow): Any = {
    val failed = arguments.eval(input).asInstanceOf[org.apache.spark.sql.catalyst.util.ArrayData]
    for (i <- 0 until failed.numElements()) if (failed.getBoolean(i)) throw new CallFailed("an argument cannot be evaluated.")
    val row = call.eval(input)
    if (told || row == null) row
    else {
      val both = row.asInstanceOf[InternalRow]
      if (!both.isNullAt(1)) throw new CallFailed(both.getUTF8String(1).toString)
      if (both.isNullAt(0)) null else both.get(0, answer)
    }
  }

  override protected def withNewChildrenInternal(newLeft: Expression, newRight: Expression): Expression =
    copy(arguments = newLeft, call = newRight)
}

/** NULL where the child fails. Spark's TryEval is pushed into the branches of a CASE whose values are constant. */
case class Tried(child: Expression) extends Expression with CodegenFallback {
  override def children: Seq[Expression] = Seq(child)
  override def dataType: DataType = child.dataType
  override def nullable: Boolean = true
  override def foldable: Boolean = child.foldable

  override def eval(input: InternalRow): Any =
    try child.eval(input)
    catch { case NonFatal(_) => null }

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Expression = copy(newChildren.head)
}

class CallFailed(message: String) extends RuntimeException(message)
