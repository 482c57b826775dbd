package org.apache.spark.sql.aiquery

import org.apache.spark.sql.{SparkSessionExtensions, SparkSessionExtensionsProvider}
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo

/** What Spark loads, by `spark.sql.extensions` or because the jar is there: it injects, and does nothing else. */
class Extension extends SparkSessionExtensionsProvider {
  override def apply(extensions: SparkSessionExtensions): Unit = {
    for (function <- Manifest.functions)
      extensions.injectFunction((FunctionIdentifier(function.name), info(function.name, function.usage), Calls.builder(function)))
    extensions.injectFunction((FunctionIdentifier(Try.name), info(Try.name, "_FUNC_(expr) - expr, or NULL where it fails"), Try.build))
    extensions.injectPostHocResolutionRule(_ => KeepCte)
    Versions.injectBeforeOptimization(extensions, ExtractCalls)
    extensions.injectOptimizerRule(_ => SortFirst)
    extensions.injectOptimizerRule(_ => DropUnread)
    extensions.injectPreCBORule(_ => MergeCalls)
    extensions.injectPreCBORule(_ => ShuffleByRequest)
    extensions.injectPreCBORule(_ => ShareCalls)
    extensions.injectPlannerStrategy(_ => CallStrategy)
  }

  private def info(name: String, usage: String) =
    new ExpressionInfo(getClass.getName, null, name, usage, "", "", "", "misc_funcs", "4.0.0", "", "scala_udf")
}
