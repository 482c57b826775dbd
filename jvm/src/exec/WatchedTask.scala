package org.apache.spark.sql.aiquery

import java.io.File
import java.util.concurrent.atomic.AtomicInteger

import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.util.CompletionIterator

/**
 * One task with Python workers. It creates the file `stop` when the task is killed or fails, and the file `enough`
 * when the task ends before it has read all rows. `aiquery.engines.spark.executor.watchdog` polls for both.
 */
class WatchedTask(context: TaskContext) {
  /** How long the files of an incomplete task exist, so that each worker finds them. */
  private val fileLifetimeMs = 5000L

  private val stopFile = locate("stop")
  private val enoughFile = locate("enough")
  private val openIterators = new AtomicInteger

  context.addTaskCompletionListener[Unit](_ => finish())

  /** Returns the rows of one worker, and records when they are exhausted. */
  def track[T](rows: Iterator[T]): Iterator[T] = {
    openIterators.incrementAndGet()
    CompletionIterator[T, Iterator[T]](rows, closeIterator())
  }

  def stopIfInterrupted(): Unit =
    if (context.isInterrupted()) stopFile.createNewFile()

  private def closeIterator(): Unit = openIterators.decrementAndGet()

  private def finish(): Unit = {
    Stopper.forget(context)
    val isIncomplete = openIterators.get > 0
    if (isIncomplete) {
      val isStopped = context.isInterrupted() || context.isFailed()
      val file = if (isStopped) stopFile else enoughFile
      file.createNewFile()
    }
    val delayMs = if (isIncomplete) fileLifetimeMs else 0L
    Stopper.deleteLater(Seq(stopFile, enoughFile), delayMs)
  }

  private def locate(word: String): File = {
    val folder = SparkEnv.get.blockManager.diskBlockManager.localDirs.head
    new File(folder, s"aiquery-$word-${context.taskAttemptId()}")
  }
}
