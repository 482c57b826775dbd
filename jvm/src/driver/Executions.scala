package org.apache.spark.sql.aiquery

import java.io.IOException
import java.util.concurrent.TimeUnit

import org.apache.spark.sql.execution.SQLExecution
import org.apache.spark.util.ThreadUtils

/**
 * Reports finished executions to the sidecars, which aggregate tasks into runs. A sidecar receives messages from
 * tasks only, and an execution can be open while none of its tasks runs, so a sidecar cannot detect the end itself.
 */
object Executions {
  private val pollMs = 500L
  private lazy val timer = ThreadUtils.newDaemonSingleThreadScheduledExecutor("aiquery-executions")
  private lazy val polling =
    timer.scheduleWithFixedDelay(() => endFinished(), pollMs, pollMs, TimeUnit.MILLISECONDS)

  /** Starts to poll, unless it has started. */
  def startPolling(): Unit = polling

  /** Ends the runs of finished executions, and returns when they are in the run store. */
  def endFinished(): Unit =
    for (sidecar <- Sidecar.all if sidecar.isAlive && sidecar.hasCoordinator) {
      try endFinished(sidecar)
      catch {
        // The process has ended or cannot write. The next statement that binds a call or reads runs reports the error.
        case _: IOException | _: CallError =>
      }
    }

  private def endFinished(sidecar: Sidecar): Unit = {
    val finished = sidecar.readOpenExecutions().filter(isFinished)
    if (finished.nonEmpty) sidecar.endExecutions(finished)
  }

  private def isFinished(execution: String): Boolean =
    SQLExecution.getQueryExecution(execution.toLong) == null
}
