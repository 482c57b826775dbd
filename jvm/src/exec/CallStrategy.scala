package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{ArrowEvalPython, LogicalPlan}
import org.apache.spark.sql.execution.{SparkPlan, SparkStrategy}

/** Plans a node of calls as a CallExec, before Spark's own strategy plans it as an ArrowEvalPythonExec. */
object CallStrategy extends SparkStrategy {
  def apply(plan: LogicalPlan): Seq[SparkPlan] = plan match {
    case CallNode(node) => Seq(planCalls(node))
    case _ => Nil
  }

  private def planCalls(node: ArrowEvalPython): SparkPlan = {
    // Each physical node needs its own functions, because a task sets the accumulator in them.
    val udfs = node.udfs.map { udf =>
      val function = Calls.getFunction(udf).duplicate()
      udf.copy(func = function)
    }
    new CallExec(udfs, node.resultAttrs, planLater(node.child), node.evalType)
  }
}
