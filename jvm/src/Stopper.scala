package org.apache.spark.sql.aiquery

import java.io.File
import java.util.concurrent.{ConcurrentHashMap, Executors, ThreadFactory, TimeUnit}

import scala.jdk.CollectionConverters._

import org.apache.spark.{SparkEnv, TaskContext}

/**
 * Tells the Python worker of a task that was killed to leave at once. Spark itself does so after two seconds or more, and
 * every call of that time is paid for nothing. The message is a file in the executor's local folder: `stop(attempt)`,
 * which the worker looks for while it waits.
 */
object Stopper {
  private val everyMs = 200L
  private val tasks = new ConcurrentHashMap[Long, TaskContext]()
  private lazy val timer = Executors.newSingleThreadScheduledExecutor(new ThreadFactory {
    override def newThread(task: Runnable): Thread = {
      val thread = new Thread(task, "aiquery-stopper")
      thread.setDaemon(true)
      thread
    }
  })
  private lazy val watching = timer.scheduleWithFixedDelay(() => look(), everyMs, everyMs, TimeUnit.MILLISECONDS)

  def watch(context: TaskContext): Unit =
    if (tasks.put(context.taskAttemptId(), context) == null) {
      watching
      context.addTaskCompletionListener[Unit] { _ => tasks.remove(context.taskAttemptId()); stop(context).delete() }
    }

  private def look(): Unit =
    for (context <- tasks.values.asScala if context.isInterrupted()) stop(context).createNewFile()

  private def stop(context: TaskContext): File =
    new File(SparkEnv.get.blockManager.diskBlockManager.localDirs.head, s"aiquery-stop-${context.taskAttemptId()}")
}
