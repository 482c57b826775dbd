package org.apache.spark.sql.aiquery

import java.util.{List => JList, Map => JMap}

import scala.jdk.CollectionConverters._

import net.razorvine.pickle.Unpickler

import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.util.{AccumulatorV2, CollectionAccumulator}

/**
 * Receives the counts of a worker when it ends, and adds them to the SQL metrics.
 *
 * The executor creates it, and it is neither registered nor sent, so the driver needs none of our classes to read the
 * result of a task.
 */
class CallMetrics(metrics: Map[String, SQLMetric])
  extends CollectionAccumulator[Array[Byte]] {

  override def isZero: Boolean = true

  override def copyAndReset(): CollectionAccumulator[Array[Byte]] = new CallMetrics(metrics)

  override def copy(): CollectionAccumulator[Array[Byte]] = new CallMetrics(metrics)

  override def merge(other: AccumulatorV2[Array[Byte], JList[Array[Byte]]]): Unit = ()

  /** Adds a pickled accumulator update: its number, and a dictionary of counts. */
  override def add(update: Array[Byte]): Unit = new Unpickler().loads(update) match {
    case Array(_, counts: JMap[_, _]) =>
      for ((name, count) <- counts.asScala)
        addCount(name.toString, count)
    case _ =>
  }

  private def addCount(name: String, count: Any): Unit = count match {
    case number: Number =>
      for (metric <- metrics.get(name))
        metric.add(number.longValue)
    case _ =>
  }
}
