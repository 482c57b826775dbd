package org.apache.spark.sql.aiquery

import java.util.UUID

import org.apache.spark.sql.{Dataset => AnyDataset}
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical.{Call => _, _}
import org.apache.spark.sql.classic.{DataFrame, Dataset, SparkSession => ClassicSession}
import org.apache.spark.sql.execution.columnar.InMemoryRelation
import org.apache.spark.sql.functions.{col, explode}
import org.apache.spark.sql.types.DataType

/** What a DataFrame would ask: a row for each distinct request; `exact` unless an answer decides what else is asked. */
case class Estimate(requests: DataFrame, exact: Boolean)

object Estimate {
  def of(frame: AnyDataset[_]): Estimate = {
    val session = frame.sparkSession.asInstanceOf[ClassicSession]
    val plan = frame.asInstanceOf[Dataset[_]].queryExecution.optimizedPlan
    plan.collectWithSubqueries { case cached: InMemoryRelation => refuse(cached) }
    val nodes = plan.collectWithSubqueries { case CallNode(node) => node }
    val cut = plan.collectWithSubqueries { case limit @ (_: GlobalLimit | _: LocalLimit) => read(limit) }.flatten
    val counted = nodes.flatMap(node => source(node, cut.exists(_ eq node)).toSeq.flatMap(counting(node, _)))
    val rows = counted.map(Dataset.ofRows(session, _)).reduceOption(_.union(_)).getOrElse(
      session.emptyDataFrame.selectExpr(s"CAST(NULL AS ${kind.sql}) AS requests"))
    val requests = rows.select(explode(col("requests")).as("request")).select("request.*").distinct()
    Estimate(requests, cut.isEmpty && nodes.forall(isExact))
  }

  /** See `requests.py`. */
  private val kind = DataType.fromDDL("ARRAY<STRUCT<endpoint: STRING, key: STRING, function: STRING, answered: BOOLEAN, " +
    "characters: BIGINT, size: BIGINT, most_out: BIGINT>>")

  /** The rows that a node asks about at the least; None where a limit above it may be content with none. */
  private def source(node: ArrowEvalPython, cut: Boolean): Option[LogicalPlan] = node.child match {
    case child if !cut => Some(unasked(child))
    case child @ LocalLimit(size, _) => Some(GlobalLimit(size, unasked(child)))
    case _ => None
  }

  /** A plan of what each call of a node would ask about the rows of `source`. */
  private def counting(node: ArrowEvalPython, source: LogicalPlan): Seq[LogicalPlan] =
    for (udf <- node.udfs; (call, read) <- Calls.callsOf(udf)) yield {
      val function = Calls.functionOf(udf).copy(calls = Seq(call.copy(counted = true, quiet = false)))(UUID.randomUUID.toString)
      val requests = PythonUDF(call.function, function, kind, read, Versions.evalType, udfDeterministic = true)
      Project(Seq(Alias(requests, "requests")()), source)
    }

  /** The same plan with NULL for every answer. */
  private def unasked(plan: LogicalPlan): LogicalPlan = plan.transformUpWithSubqueries {
    case CallNode(node) =>
      val none = node.resultAttrs.map(a => Alias(Literal(null, a.dataType), a.name)(exprId = a.exprId))
      Project(node.child.output ++ none, node.child)
  }

  /** The calls that a limit reads no further than it wants: nobody knows how far that is. */
  private def read(plan: LogicalPlan): Seq[LogicalPlan] = plan match {
    case CallNode(node) => node +: read(node.child)
    case _: LocalLimit | _: GlobalLimit | _: Project | _: Filter | _: Generate | _: Union | _: Join =>
      plan.children.flatMap(read)
    case _ => Nil
  }

  /** Whether no answer decides which rows a node reads, and none is part of what it asks. */
  private def isExact(node: ArrowEvalPython): Boolean = {
    val answers = AttributeSet(node.child.collectWithSubqueries { case CallNode(inner) => inner }.flatMap(_.resultAttrs))
    def reads(expression: Expression) = expression.references.intersect(answers).nonEmpty || expression.exists {
      case inner: SubqueryExpression => inner.plan.exists(_.expressions.exists(Calls.hasCall))
      case _ => false
    }
    !node.udfs.exists(reads) && !node.child.exists {
      case CallNode(_) => false
      case Project(list, _) => list.exists(item => !item.isInstanceOf[Attribute] && reads(item))
      case other => other.expressions.exists(reads)
    }
  }

  private def refuse(cached: InMemoryRelation): Unit =
    if (!cached.cacheBuilder.isCachedColumnBuffersLoaded && cached.cacheBuilder.logicalPlan.exists(_.expressions.exists(Calls.hasCall)))
      throw new CallError("a cached DataFrame below this one has not been computed, and would ask; estimate that one first.")
}
