package org.apache.spark.sql.aiquery

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, PythonUDF}
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}
import org.apache.spark.sql.execution.python.ArrowEvalPythonExec
import org.apache.spark.sql.internal.SQLConf

/**
 * The physical node of calls. It uses small batches and a small buffer, so that rows move on while other rows wait
 * for the model, and it shows the worker's counts in the Spark UI.
 */
class CallExec(udfs: Seq[PythonUDF], resultAttrs: Seq[Attribute], child: SparkPlan, evalType: Int)
  extends ArrowEvalPythonExec(udfs, resultAttrs, child, evalType) {

  override def nodeName: String = "AiQuery"

  private lazy val callMetrics: Map[String, SQLMetric] = {
    val waitTime = SQLMetrics.createTimingMetric(sparkContext, "time waiting for the model")
    val counters = CallExec.counters.map { case (name, label) =>
      name -> SQLMetrics.createMetric(sparkContext, label)
    }
    counters + ("wait_ms" -> waitTime)
  }

  override lazy val metrics: Map[String, SQLMetric] = {
    val outputRows = SQLMetrics.createMetric(sparkContext, "number of output rows")
    pythonMetrics ++ callMetrics + ("numOutputRows" -> outputRows)
  }

  /** Columnar input would produce one batch of output for each batch of input. */
  override def supportsColumnar: Boolean = false

  /** Spark 4.0 reads the batch size from `conf` when the evaluator factory is created; null everywhere else. */
  @transient private var factoryConf: SQLConf = null

  override def conf: SQLConf = if (factoryConf == null) super.conf else factoryConf

  override protected def doExecute(): RDD[InternalRow] = {
    // Local values stand for the fields, so that the closure does not contain this node.
    val functions = udfs.map(Calls.getFunction)
    val counters = callMetrics
    val outputRows = metrics("numOutputRows")
    val factory = createFactory()
    val firstWave = functions.flatMap(_.wantedRows).maxOption.map(_ + CallExec.firstExtra)
    child.execute().mapPartitionsWithIndex { (partition, input) =>
      if (input.isEmpty) input
      else {
        functions.foreach(_.metrics = new CallMetrics(counters))
        val task = Stopper.watch(TaskContext.get())
        val evaluate = (rows: Iterator[InternalRow]) =>
          SQLConf.withExistingConf(CallExec.workerConf()) {
            task.track(factory.createEvaluator().eval(partition, rows))
          }
        val copies = input.map(_.copy())
        val results = firstWave match {
          case Some(count) => new WaveIterator(copies, count, evaluate)
          case None => evaluate(copies)
        }
        results.map { row =>
          outputRows += 1
          row
        }
      }
    }
  }

  private def createFactory() =
    try {
      factoryConf = super.conf.clone()
      CallExec.setBatchRows(factoryConf)
      evaluatorFactory
    } finally factoryConf = null

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    new CallExec(udfs, resultAttrs, newChild, evalType)
}

object CallExec {
  private val batchRows = "256"

  /** Rows that the first wave asks beyond those that are wanted, so that a second wave is seldom needed. */
  private val firstExtra = 16

  /** The bytes that the JVM collects before it sends them. With Spark's 64 kB two stacked calls would not overlap. */
  private val bufferBytes = "4096"

  /** The counts that a worker reports, and their labels in the Spark UI. */
  val counters: Map[String, String] = Map(
    "rows" -> "rows",
    "calls" -> "calls",
    "cache_hits" -> "cache hits",
    "retries" -> "retries",
    "failed" -> "failed rows",
    "tokens_in" -> "tokens in",
    "tokens_cached" -> "tokens in, cached",
    "tokens_out" -> "tokens out")

  /** Returns the task's settings with those of a worker that makes calls. */
  def workerConf(): SQLConf = {
    val conf = new SQLConf()
    for ((name, value) <- SQLConf.get.getAllConfs)
      conf.setConfString(name, value)
    setBatchRows(conf)
    conf.setConfString(SQLConf.PANDAS_UDF_BUFFER_SIZE.key, bufferBytes)
    // An error of the worker is about the user's call, so its message is enough.
    conf.setConfString("spark.sql.execution.pyspark.udf.hideTraceback.enabled", "true")
    conf
  }

  private def setBatchRows(conf: SQLConf): Unit =
    conf.setConfString(SQLConf.ARROW_EXECUTION_MAX_RECORDS_PER_BATCH.key, batchRows)
}
