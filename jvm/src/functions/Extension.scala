package org.apache.spark.sql.aiquery

import java.util.{Collections, WeakHashMap}

import org.apache.spark.sql.{SparkSessionExtensions, SparkSessionExtensionsProvider}
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo

/**
 * The entry point: registers functions, rules and the physical node with Spark.
 *
 * Spark loads it by `spark.sql.extensions`, and from the jar as a service. Both can happen for one session, so it
 * registers once for each SparkSessionExtensions.
 */
class Extension extends SparkSessionExtensionsProvider {
  override def apply(extensions: SparkSessionExtensions): Unit =
    if (Extension.claim(extensions)) {
      injectFunctions(extensions)
      injectRules(extensions)
    }

  private def injectFunctions(extensions: SparkSessionExtensions): Unit = {
    for (signature <- Manifest.functions) {
      val identifier = FunctionIdentifier(signature.name)
      val info = describe(signature.name, signature.usage)
      extensions.injectFunction((identifier, info, CallBuilder.build(signature, _)))
    }
    for (signature <- History.functions) {
      val identifier = FunctionIdentifier(signature.name)
      val info = describe(signature.name, signature.usage)
      extensions.injectTableFunction((identifier, info, History.build(signature, _)))
    }
    val identifier = FunctionIdentifier(Try.name)
    val info = describe(Try.name, Try.usage)
    extensions.injectFunction((identifier, info, Try.build(_)))
  }

  private def injectRules(extensions: SparkSessionExtensions): Unit = {
    extensions.injectPostHocResolutionRule(_ => KeepCte)
    extensions.injectCheckRule(_ => Constraints)
    Versions.injectBeforeOptimization(extensions, ExtractCalls)
    extensions.injectOptimizerRule(_ => SortFirst)
    extensions.injectOptimizerRule(_ => SortBelowCalls)
    extensions.injectOptimizerRule(_ => JoinFirst)
    extensions.injectOptimizerRule(_ => ReduceSubquery)
    extensions.injectOptimizerRule(_ => DropUnread)
    extensions.injectPreCBORule(_ => MergeCalls)
    extensions.injectPreCBORule(_ => ShuffleByRequest)
    extensions.injectPreCBORule(_ => ShareCalls)
    extensions.injectPreCBORule(_ => WantedRows)
    extensions.injectPlannerStrategy(_ => CallStrategy)
  }

  private def describe(name: String, usage: String) =
    new ExpressionInfo(getClass.getName, null, name, usage, "", "", "", "misc_funcs", "4.0.0", "", "scala_udf")
}

object Extension {
  private val claimed = {
    val map = new WeakHashMap[SparkSessionExtensions, java.lang.Boolean]()
    Collections.synchronizedSet(Collections.newSetFromMap(map))
  }

  /** Returns true the first time that it is called with these extensions. */
  private def claim(extensions: SparkSessionExtensions): Boolean = claimed.add(extensions)
}
