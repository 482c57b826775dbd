package org.apache.spark.sql.aiquery

import java.io.File
import java.util.concurrent.{ConcurrentHashMap, TimeUnit}

import scala.jdk.CollectionConverters._

import org.apache.spark.TaskContext
import org.apache.spark.util.ThreadUtils

/**
 * Stops the Python workers of a task as soon as Spark needs no more of its rows, so that they send no further requests.
 *
 * Spark takes two seconds or more to end the worker of a killed task. When a LIMIT has enough rows, Spark closes the
 * socket, which the worker may not notice before it writes. So the executor creates a file in its local folder, and
 * the worker polls for the file.
 */
object Stopper {
  private val pollMs = 100L
  private val tasks = new ConcurrentHashMap[Long, WatchedTask]()
  private lazy val timer = ThreadUtils.newDaemonSingleThreadScheduledExecutor("aiquery-stopper")
  private lazy val polling =
    timer.scheduleWithFixedDelay(() => stopInterrupted(), pollMs, pollMs, TimeUnit.MILLISECONDS)

  /** Returns the watch of the current task, which several nodes of a plan share. */
  def watch(context: TaskContext): WatchedTask = {
    polling
    tasks.computeIfAbsent(context.taskAttemptId(), _ => new WatchedTask(context))
  }

  def forget(context: TaskContext): Unit = tasks.remove(context.taskAttemptId())

  def deleteLater(files: Seq[File], delayMs: Long): Unit = {
    val delete: Runnable = () => files.foreach(_.delete())
    timer.schedule(delete, delayMs, TimeUnit.MILLISECONDS)
  }

  private def stopInterrupted(): Unit =
    for (task <- tasks.values.asScala) task.stopIfInterrupted()
}
