package org.apache.spark.sql.aiquery

import scala.jdk.CollectionConverters._

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.execution.{SparkPlan, SparkStrategy}
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}
import org.apache.spark.sql.execution.python.ArrowEvalPythonExec
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.util.{AccumulatorV2, CollectionAccumulator}

object CallStrategy extends SparkStrategy {
  def apply(plan: LogicalPlan): Seq[SparkPlan] = plan match {
    case CallNode(node) =>
      val own = node.udfs.map(udf => udf.copy(func = Calls.functionOf(udf).changed(identity))) // metrics are set in the task's own copy
      new CallExec(own, node.resultAttrs, planLater(node.child), node.evalType) :: Nil
    case _ => Nil
  }
}

/** The physical node: small batches and a small buffer, so that rows move while others wait; metrics in the Spark UI. */
class CallExec(udfs: Seq[PythonUDF], resultAttrs: Seq[Attribute], child: SparkPlan, evalType: Int)
  extends ArrowEvalPythonExec(udfs, resultAttrs, child, evalType) {

  override def nodeName: String = "AiQuery"

  private lazy val callMetrics: Map[String, SQLMetric] =
    CallExec.counts.map { case (name, shown) => name -> SQLMetrics.createMetric(sparkContext, shown) } +
      ("wait_ms" -> SQLMetrics.createTimingMetric(sparkContext, "time waiting for the model"))

  override lazy val metrics: Map[String, SQLMetric] =
    pythonMetrics ++ callMetrics + ("numOutputRows" -> SQLMetrics.createMetric(sparkContext, "number of output rows"))

  /** Columnar input would tie each batch out to a batch in. */
  override def supportsColumnar: Boolean = false

  @transient private var driverConf: SQLConf = null
  override def conf: SQLConf = if (driverConf != null) driverConf else super.conf

  override protected def doExecute(): RDD[InternalRow] = {
    val functions = udfs.map(Calls.functionOf)
    val (counted, rows) = (callMetrics, metrics("numOutputRows"))
    val factory = try { // made on the driver, which keeps this node out of the closure; 4.0 reads the batch size here
      driverConf = super.conf.clone()
      driverConf.setConfString(SQLConf.ARROW_EXECUTION_MAX_RECORDS_PER_BATCH.key, CallExec.batchRows)
      evaluatorFactory
    } finally driverConf = null
    child.execute().mapPartitionsWithIndex { (partition, input) =>
      if (input.isEmpty) input
      else {
        functions.foreach(_.metrics = new CallMetrics(counted))
        val task = Stopper.watch(TaskContext.get())
        task.passing(SQLConf.withExistingConf(CallExec.workerConf()) {
          factory.createEvaluator().eval(partition, input.map(_.copy()))
        }).map { row => rows += 1; row }
      }
    }
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    new CallExec(udfs, resultAttrs, newChild, evalType)
}

object CallExec {
  val batchRows = "256"
  /** What the JVM gathers before it sends any of it: with the stock 64 kB two stacked calls do not overlap. */
  val bufferBytes = "4096"

  val counts: Map[String, String] = Map(
    "rows" -> "rows asked", "calls" -> "calls", "known" -> "answered from store", "retries" -> "retries",
    "failed" -> "failed rows", "tokens_in" -> "tokens in", "tokens_cached" -> "tokens in, cached", "tokens_out" -> "tokens out")

  def workerConf(): SQLConf = {
    val conf = new SQLConf()
    SQLConf.get.getAllConfs.foreach { case (name, value) => conf.setConfString(name, value) }
    conf.setConfString(SQLConf.ARROW_EXECUTION_MAX_RECORDS_PER_BATCH.key, batchRows)
    conf.setConfString(SQLConf.PANDAS_UDF_BUFFER_SIZE.key, bufferBytes)
    conf.setConfString("spark.sql.execution.pyspark.udf.hideTraceback.enabled", "true") // the error is ours: its message only
    conf
  }
}

/**
 * Takes what the worker counted, at its end, and adds it to the SQL metrics. Made on the executor, never registered and
 * never sent: the driver needs no class of ours to read a task's results.
 */
class CallMetrics(metrics: Map[String, SQLMetric]) extends CollectionAccumulator[Array[Byte]] {
  override def isZero: Boolean = true
  override def copyAndReset(): CollectionAccumulator[Array[Byte]] = new CallMetrics(metrics)
  override def copy(): CollectionAccumulator[Array[Byte]] = new CallMetrics(metrics)
  override def merge(other: AccumulatorV2[Array[Byte], java.util.List[Array[Byte]]]): Unit = ()
  override def add(update: Array[Byte]): Unit = new net.razorvine.pickle.Unpickler().loads(update) match {
    case Array(_, counts: java.util.Map[_, _]) =>
      for ((name, count) <- counts.asScala) (metrics.get(name.toString), count) match {
        case (Some(metric), number: Number) => metric.add(number.longValue)
        case _ =>
      }
    case _ =>
  }
}
