package org.apache.spark.sql.aiquery

import org.apache.spark.api.python.PythonEvalType
import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateFunction
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.sql.connector.catalog.CatalogPlugin
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types.{ArrayType, DataType, StringType, StructType, TimestampType, VariantType}

/** All that differs between the Spark versions that one jar runs on (4.0 to 4.3). */
object Versions {
  private lazy val arrowIterator: Option[Int] = PythonEvalType.getClass.getMethods
    .find(_.getName == "SQL_SCALAR_ARROW_ITER_UDF").map(_.invoke(PythonEvalType).asInstanceOf[Int])

  def hasArrowIterator: Boolean = arrowIterator.isDefined

  /** The Arrow iterator (251) from 4.1 on; 4.0 has only the pandas iterator. */
  def evalType: Int = arrowIterator.getOrElse(PythonEvalType.SQL_SCALAR_PANDAS_ITER_UDF)

  /** On 4.0 answers come through pandas, which has no NULL of a STRUCT or a VARIANT: there they travel as an ARRAY of one. */
  def typeOnTheWay(answer: DataType): DataType = answer match {
    case _: StructType | _: VariantType if !hasArrowIterator => ArrayType(answer)
    case other => other
  }

  def arrived(travelled: Expression, answer: DataType): Expression =
    if (travelled.dataType == answer) travelled else GetArrayItem(travelled, Literal(0), failOnError = false)

  /**
   * A value as the worker gets it. On 4.0 it goes through pandas, which knows no zone: there a TIMESTAMP travels as the
   * text that `texts.py` makes of it elsewhere.
   */
  def ready(value: Expression): Expression = value.dataType match {
    case _ if hasArrowIterator => value
    case TimestampType => instant(value)
    case struct: StructType if struct.existsRecursively(_ == TimestampType) =>
      val fields = struct.fields.toSeq.zipWithIndex.flatMap { case (field, i) =>
        Seq(Literal(field.name), ready(GetStructField(value, i)))
      }
      val made = CreateNamedStruct(fields)
      If(IsNull(value), Literal(null, made.dataType), made)
    case _ => value
  }

  private def instant(value: Expression): Expression = {
    def call(name: String, arguments: Expression*): Expression = FunctionRegistry.expressions(name)._2(arguments)
    val zone = Some(SQLConf.get.sessionLocalTimeZone)
    val offset = call("date_format", value, Literal("xxx")).transform { case e: DateFormatClass => e.copy(timeZoneId = zone) }
    call("concat", Cast(value, StringType, zone), call("regexp_replace", offset, Literal(":00$"), Literal("")))
  }

  /** collect_list by its name: its constructor has grown. */
  def collected(value: Expression): Expression =
    FunctionRegistry.expressions("collect_list")._2(Seq(value)).asInstanceOf[AggregateFunction].toAggregateExpression()

  /** The catalog manager is a class on 4.0 and a trait on 4.3. */
  def sessionCatalog: CatalogPlugin = {
    val manager: AnyRef = SparkSession.active.asInstanceOf[ClassicSession].sessionState.catalogManager
    manager.getClass.getMethod("v2SessionCatalog").invoke(manager).asInstanceOf[CatalogPlugin]
  }

  /** A batch of its own before operator optimization from 4.1 on; an ordinary rule on 4.0. */
  def injectBeforeOptimization(extensions: SparkSessionExtensions, rule: Rule[LogicalPlan]): Unit = {
    val build: SparkSession => Rule[LogicalPlan] = _ => rule
    extensions.getClass.getMethods.find(_.getName == "injectPreOperatorOptimizationRule") match {
      case Some(method) => method.invoke(extensions, build)
      case None => extensions.injectOptimizerRule(build)
    }
  }
}
