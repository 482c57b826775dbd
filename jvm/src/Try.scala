package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions._

/** TRY(expr), which open-source Spark does not have: around a call its failed rows are NULL, around anything else TryEval. */
object Try {
  val name = "try"

  def build(arguments: Seq[Expression]): Expression = {
    if (arguments.size != 1) throw new CallError(s"try takes one argument, not ${arguments.size}.")
    val quiet = arguments.head.transformUp {
      case udf: PythonUDF if Calls.isCall(udf) =>
        udf.copy(func = Calls.functionOf(udf).changed(_.copy(quiet = true)))
    }
    quiet match {
      case call if Calls.isCall(call) => call
      case GetArrayItem(call, _, _) if Calls.isCall(call) => quiet
      case other => TryEval(other)
    }
  }
}
