package org.apache.spark.sql.aiquery

import org.apache.spark.sql.Row
import org.apache.spark.sql.catalyst.expressions.Expression
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.execution.QueryExecution
import org.apache.spark.sql.types.StructType

/** Base of the suites that compile SQL over the table `t(id INT, s STRING, g INT)` and check the plan. */
abstract class PlanSuite extends munit.FunSuite {
  protected def session: SparkSession = PlanSuite.session

  protected def execute(sql: String): QueryExecution = session.sql(sql).queryExecution

  protected def analyze(sql: String): LogicalPlan = execute(sql).analyzed

  protected def optimize(sql: String): LogicalPlan = execute(sql).optimizedPlan

  /** The nodes of calls from the top to the bottom of a plan. */
  protected def findNodes(plan: LogicalPlan): Seq[ArrowEvalPython] =
    plan.collectWithSubqueries { case CallNode(node) => node }

  protected def findNode(plan: LogicalPlan): ArrowEvalPython = findNodes(plan) match {
    case Seq(node) => node
    case nodes => fail(s"expected one node of calls, not ${nodes.size}:\n$plan")
  }

  protected def findCalls(node: ArrowEvalPython): Seq[CallSpec] =
    node.udfs.flatMap(udf => Calls.getFunction(udf).calls)

  /** The conditions of the filters from the top to the bottom of a plan. */
  protected def findFilters(plan: LogicalPlan): Seq[Expression] =
    plan.collect { case Filter(condition, _) => condition }

  /** Whether a plan contains an operator of this class. */
  protected def contains(plan: LogicalPlan, name: String): Boolean = plan.exists(_.nodeName == name)

  /** Whether all calls of a plan are in nodes of their own. */
  protected def isExtracted(plan: LogicalPlan): Boolean = {
    val others = plan.collect { case node if !isCallNode(node) => node }
    !others.exists(_.expressions.exists(Calls.hasCall))
  }

  private def isCallNode(plan: LogicalPlan): Boolean = CallNode.unapply(plan).isDefined

  /** The names of the columns that an expression reads. */
  protected def readNames(expression: Expression): Set[String] = expression.references.map(_.name).toSet

  protected def withSetting[T](name: String, value: String)(body: => T): T = {
    session.conf.set(name, value)
    try body
    finally session.conf.unset(name)
  }
}

object PlanSuite {
  private val config = """{"endpoints": {"m": {"provider": "fake"}}}"""

  /** One session for all suites. */
  lazy val session: SparkSession = {
    val started = SparkSession.builder()
      .master("local[1]")
      .config("spark.ui.enabled", "false")
      .config("spark.driver.host", "localhost")
      .config("spark.driver.bindAddress", "127.0.0.1")
      .config("spark.sql.extensions", classOf[Extension].getName)
      .config("spark.sql.warehouse.dir", sys.props("java.io.tmpdir"))
      .config("spark.aiquery.python", sys.props("aiquery.python"))
      .config("spark.aiquery.coordinator", "off")
      .config("spark.aiquery.config", config)
      .getOrCreate()
    TestCalls.register(started)
    createTable(started)
    started
  }

  /** A table of an RDD: the optimizer cannot evaluate it, unlike a local relation. */
  private def createTable(session: SparkSession): Unit = {
    val schema = StructType.fromDDL("id INT, s STRING, g INT")
    val rows = session.sparkContext.emptyRDD[Row]
    session.createDataFrame(rows, schema).createOrReplaceTempView("t")
  }
}
