package org.apache.spark.sql.aiquery

import java.util.UUID

import org.apache.spark.sql.{Dataset => AnyDataset}
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.classic.{DataFrame, Dataset, SparkSession => ClassicSession}
import org.apache.spark.sql.execution.columnar.InMemoryRelation
import org.apache.spark.sql.functions.{col, explode}
import org.apache.spark.sql.types.DataType

/**
 * The requests that an action on a DataFrame would send.
 *
 * @param requests a DataFrame with one row for each distinct request
 * @param exact false where an answer decides which other requests are sent: then `requests` is a lower bound
 */
case class Estimate(requests: DataFrame, exact: Boolean)

object Estimate {
  /** The type of a worker's result, as in `aiquery.engines.spark.executor.estimate_requests`. */
  private val requestsType = DataType.fromDDL(
    """ARRAY<STRUCT<
      |  endpoint: STRING, key: STRING, function: STRING, is_cached: BOOLEAN,
      |  characters: BIGINT, size: BIGINT, max_output_tokens: BIGINT
      |>>""".stripMargin)

  def of(frame: AnyDataset[_]): Estimate = {
    val session = frame.sparkSession.asInstanceOf[ClassicSession]
    val plan = frame.asInstanceOf[Dataset[_]].queryExecution.optimizedPlan
    checkCaches(plan)
    val nodes = plan.collectWithSubqueries { case CallNode(node) => node }
    val limited = findLimited(plan)
    val plans = nodes.flatMap { node =>
      val isLimited = limited.exists(_ eq node)
      val source = planSource(node, isLimited)
      source.toSeq.flatMap(planRequests(node, _))
    }
    val isExact = limited.isEmpty && nodes.forall(isIndependent)
    Estimate(createFrame(session, plans), isExact)
  }

  private def createFrame(session: ClassicSession, plans: Seq[LogicalPlan]): DataFrame = {
    val frames = plans.map(Dataset.ofRows(session, _))
    val all = frames.reduceOption(_.union(_)).getOrElse {
      session.emptyDataFrame.selectExpr(s"CAST(NULL AS ${requestsType.sql}) AS requests")
    }
    val exploded = all.select(explode(col("requests")).as("request"))
    exploded.select("request.*").distinct()
  }

  /** Returns the rows that a node reads at least, None where a limit above it may read none. */
  private def planSource(node: ArrowEvalPython, isLimited: Boolean): Option[LogicalPlan] = node.child match {
    case child if !isLimited => Some(replaceAnswers(child))
    case limit: LocalLimit => Some(GlobalLimit(limit.limitExpr, replaceAnswers(limit)))
    case _ => None
  }

  /** Returns for each call of a node the plan that lists its requests over the rows of `source`. */
  private def planRequests(node: ArrowEvalPython, source: LogicalPlan): Seq[LogicalPlan] =
    for {
      udf <- node.udfs
      (call, arguments) <- Calls.splitArguments(udf)
    } yield {
      val spec = call.copy(estimateOnly = true, nullOnError = false)
      val planId = UUID.randomUUID.toString
      val function = Calls.getFunction(udf).copy(calls = Seq(spec))(planId)
      val requests = PythonUDF(
        call.function, function, requestsType, arguments, Versions.evalType, udfDeterministic = true)
      Project(Seq(Alias(requests, "requests")()), source)
    }

  /** Returns the plan with NULL for every answer. */
  private def replaceAnswers(plan: LogicalPlan): LogicalPlan = plan.transformUpWithSubqueries {
    case CallNode(node) =>
      val nulls = node.resultAttrs.map { answer =>
        val value = Literal(null, answer.dataType)
        Alias(value, answer.name)(exprId = answer.exprId)
      }
      Project(node.child.output ++ nulls, node.child)
  }

  /** Returns the nodes below a limit that stops to read once it has enough rows, so that their requests vary. */
  private def findLimited(plan: LogicalPlan): Seq[LogicalPlan] = {
    val limits = plan.collectWithSubqueries {
      case limit: GlobalLimit => limit
      case limit: LocalLimit => limit
    }
    limits.flatMap(findStreamed)
  }

  private def findStreamed(plan: LogicalPlan): Seq[LogicalPlan] = plan match {
    case CallNode(node) => node +: findStreamed(node.child)
    case _: LocalLimit | _: GlobalLimit | _: Project | _: Filter | _: Generate | _: Union | _: Join =>
      plan.children.flatMap(findStreamed)
    case _ => Nil
  }

  /** Returns whether no answer decides which rows a node reads, and no argument contains an answer. */
  private def isIndependent(node: ArrowEvalPython): Boolean = {
    val lower = node.child.collectWithSubqueries { case CallNode(inner) => inner }
    val answers = AttributeSet(lower.flatMap(_.resultAttrs))
    val isArgument = node.udfs.exists(readsAnswer(_, answers))
    val isCondition = node.child.exists(dependsOnAnswer(_, answers))
    !isArgument && !isCondition
  }

  private def dependsOnAnswer(plan: LogicalPlan, answers: AttributeSet): Boolean = plan match {
    case CallNode(_) => false
    case Project(list, _) =>
      val computed = list.filterNot(_.isInstanceOf[Attribute])
      computed.exists(readsAnswer(_, answers))
    case other => other.expressions.exists(readsAnswer(_, answers))
  }

  private def readsAnswer(expression: Expression, answers: AttributeSet): Boolean =
    expression.references.intersect(answers).nonEmpty || expression.exists {
      case subquery: SubqueryExpression => Calls.planHasCall(subquery.plan)
      case _ => false
    }

  private def checkCaches(plan: LogicalPlan): Unit = {
    val caches = plan.collectWithSubqueries { case cache: InMemoryRelation => cache.cacheBuilder }
    val open = caches.filterNot(_.isCachedColumnBuffersLoaded)
    if (open.exists(cache => Calls.planHasCall(cache.logicalPlan)))
      throw new CallError(
        "this DataFrame reads a cached DataFrame that has calls and is not computed yet, so an estimate would leave "
          + "out its requests; estimate that one first.")
  }
}
