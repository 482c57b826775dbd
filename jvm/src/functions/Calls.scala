package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Expression, PythonUDF}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

/** Finds calls in expressions and plans. A call is a PythonUDF with a CallFunction. */
object Calls {
  def isCall(expression: Expression): Boolean = expression match {
    case udf: PythonUDF => udf.func.isInstanceOf[CallFunction]
    case _ => false
  }

  def hasCall(expression: Expression): Boolean = expression.exists(isCall)

  /** Returns whether an operator of the plan contains a call. */
  def planHasCall(plan: LogicalPlan): Boolean =
    plan.exists(node => node.expressions.exists(hasCall))

  def getFunction(udf: PythonUDF): CallFunction = udf.func.asInstanceOf[CallFunction]

  /**
   * Returns each call of a function with the arguments that it reads: its columns, and its condition if it has one.
   */
  def splitArguments(udf: PythonUDF): Seq[(CallSpec, Seq[Expression])] = {
    val calls = getFunction(udf).calls
    val starts = calls.scanLeft(0)((start, call) => start + call.width)
    calls.zip(starts).map { case (call, start) =>
      call -> udf.children.slice(start, start + call.width)
    }
  }

  /** Returns the call with changed specs. */
  def mapCalls(udf: PythonUDF)(change: CallSpec => CallSpec): PythonUDF = mapFunction(udf)(_.mapCalls(change))

  /** Returns the call with a changed function. */
  def mapFunction(udf: PythonUDF)(change: CallFunction => CallFunction): PythonUDF =
    udf.copy(func = change(getFunction(udf)))
}
