package org.apache.spark.sql.aiquery

import java.io.IOException
import java.util.concurrent.TimeUnit

import scala.jdk.CollectionConverters._

import org.apache.spark.sql.execution.SQLExecution
import org.apache.spark.util.ThreadUtils

/**
 * Tells the processes that gather runs which executions are over. They hear of tasks only, and between two tasks of one
 * execution none may be at work.
 */
object Executions {
  private val everyMs = 500L
  private lazy val timer = ThreadUtils.newDaemonSingleThreadScheduledExecutor("aiquery-executions")
  lazy val watched = timer.scheduleWithFixedDelay(() => look(), everyMs, everyMs, TimeUnit.MILLISECONDS)

  /** Returns when what is over by now is written down. */
  def look(): Unit = for (binder <- Binder.all if binder.isAlive && binder.coordinator.nonEmpty) try {
    val unended = binder.ask("unended").get("executions").elements.asScala.map(_.asText).toSeq
    val over = unended.filter(id => SQLExecution.getQueryExecution(id.toLong) == null)
    if (over.nonEmpty) binder.ask("ended", "executions" -> over.asJava)
  } catch { case _: IOException | _: CallError => } // it has ended, or cannot write: whoever binds or reads next hears of it
}
