package org.apache.spark.sql.aiquery

import java.util.{Collections, WeakHashMap}

import org.apache.spark.sql.{SparkSessionExtensions, SparkSessionExtensionsProvider}
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo

/** What Spark loads, by `spark.sql.extensions` or because the jar is there: it injects, once, and does nothing else. */
class Extension extends SparkSessionExtensionsProvider {
  override def apply(extensions: SparkSessionExtensions): Unit = if (Extension.first(extensions)) inject(extensions)

  private def inject(extensions: SparkSessionExtensions): Unit = {
    for (function <- Manifest.functions)
      extensions.injectFunction((FunctionIdentifier(function.name), info(function.name, function.usage), Calls.builder(function)))
    for (table <- History.functions)
      extensions.injectTableFunction((FunctionIdentifier(table.name), info(table.name, table.usage), History.builder(table)))
    extensions.injectFunction((FunctionIdentifier(Try.name), info(Try.name, "_FUNC_(expr) - expr, or NULL where it fails"), Try.build))
    extensions.injectPostHocResolutionRule(_ => KeepCte)
    extensions.injectCheckRule(_ => Constraints)
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

object Extension {
  private val done = Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap[SparkSessionExtensions, java.lang.Boolean]()))

  private def first(extensions: SparkSessionExtensions): Boolean = done.add(extensions)
}
