package org.apache.spark.sql.aiquery

import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}

/** For a session that runs already, whose optimizer is built: `aiquery.register(spark)` calls it after ADD JAR. */
object Install {
  /**
   * Returns a copy of the session (the same settings, temporary views and functions) that has everything. The session
   * itself gets the functions too, but its rules run late: DataFrames that were made of it are right, and may ask more.
   */
  def into(session: ClassicSession): ClassicSession = {
    val own = new SparkSessionExtensions()
    new Extension().apply(own)
    own.registerFunctions(session.sessionState.functionRegistry)
    own.registerTableFunctions(session.sessionState.tableFunctionRegistry)
    new Extension().apply(session.extensions)
    val copy = session.cloneSession()
    val methods = session.experimental
    methods.extraOptimizations = methods.extraOptimizations ++ Seq(ExtractCalls, SortFirst, DropUnread)
    methods.extraStrategies = methods.extraStrategies :+ CallStrategy
    SparkSession.setActiveSession(copy)
    SparkSession.setDefaultSession(copy)
    copy
  }
}
