package org.apache.spark.sql.aiquery

import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}

/** Adds the extension to a session that runs already. `aiquery.register(spark)` calls it after ADD JAR. */
object Install {
  /**
   * Returns a copy of the session that has the functions and all rules. The copy has the same settings, temporary
   * views and functions.
   *
   * The optimizer of the session itself is built already. The session gets the functions and a part of the rules,
   * which run late: DataFrames that it created return correct results, and may send more requests.
   *
   * @param python the Python command of the workers and of the sidecar; null for that of Spark's configuration
   */
  def into(session: ClassicSession, python: String): ClassicSession = {
    Settings.setInstalledPython(python)
    registerFunctions(session)
    new Extension().apply(session.extensions)
    val copy = session.cloneSession()
    addLateRules(session)
    SparkSession.setActiveSession(copy)
    SparkSession.setDefaultSession(copy)
    copy
  }

  private def registerFunctions(session: ClassicSession): Unit = {
    val extensions = new SparkSessionExtensions()
    new Extension().apply(extensions)
    extensions.registerFunctions(session.sessionState.functionRegistry)
    extensions.registerTableFunctions(session.sessionState.tableFunctionRegistry)
  }

  private def addLateRules(session: ClassicSession): Unit = {
    val methods = session.experimental
    methods.extraOptimizations = methods.extraOptimizations ++ Seq(ExtractCalls, SortFirst, DropUnread)
    methods.extraStrategies = methods.extraStrategies :+ CallStrategy
  }
}
