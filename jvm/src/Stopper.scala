package org.apache.spark.sql.aiquery

import java.io.File
import java.util.concurrent.{ConcurrentHashMap, TimeUnit}
import java.util.concurrent.atomic.AtomicInteger

import scala.jdk.CollectionConverters._

import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.util.{CompletionIterator, ThreadUtils}

/**
 * Tells the Python workers of a task to leave at once when nobody wants their rows: every call after that is paid for
 * nothing. Spark itself takes two seconds or more where the task was killed, and where a LIMIT has enough it closes the
 * socket, which may not be noticed before the worker writes. The message is a file in the executor's local folder, which
 * the worker looks for while it waits: `stop` (killed or failed) or `enough`, and the task's attempt.
 */
object Stopper {
  private val everyMs = 100L
  private val leftMs = 5000L
  private val tasks = new ConcurrentHashMap[Long, Watched]()
  private lazy val timer = ThreadUtils.newDaemonSingleThreadScheduledExecutor("aiquery-stopper")
  private lazy val watching = timer.scheduleWithFixedDelay(() => look(), everyMs, everyMs, TimeUnit.MILLISECONDS)

  def watch(context: TaskContext): Watched = {
    watching
    tasks.computeIfAbsent(context.taskAttemptId(), _ => new Watched(context))
  }

  private def look(): Unit = for (task <- tasks.values.asScala) task.look()

  class Watched(context: TaskContext) {
    private val unread = new AtomicInteger
    private val (stop, enough) = (file("stop"), file("enough"))
    context.addTaskCompletionListener[Unit] { _ => ended() }

    /** The rows of one worker, as they are. */
    def passing[T](rows: Iterator[T]): Iterator[T] = {
      unread.incrementAndGet()
      CompletionIterator[T, Iterator[T]](rows, { unread.decrementAndGet(); () })
    }

    def look(): Unit = if (context.isInterrupted()) stop.createNewFile()

    private def ended(): Unit = {
      tasks.remove(context.taskAttemptId())
      if (unread.get > 0) (if (context.isInterrupted() || context.isFailed()) stop else enough).createNewFile()
      timer.schedule((() => { stop.delete(); enough.delete() }): Runnable, if (unread.get > 0) leftMs else 0L, TimeUnit.MILLISECONDS)
    }

    private def file(word: String): File =
      new File(SparkEnv.get.blockManager.diskBlockManager.localDirs.head, s"aiquery-$word-${context.taskAttemptId()}")
  }
}
