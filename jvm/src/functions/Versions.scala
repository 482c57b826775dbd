package org.apache.spark.sql.aiquery

import org.apache.spark.QueryContext
import org.apache.spark.api.python.{PythonEvalType, PythonException}
import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateFunction
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}
import org.apache.spark.sql.connector.catalog.CatalogPlugin
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types.{ArrayType, DataType, StringType, StructType, TimestampType, VariantType}

/** The differences between the Spark versions that one jar runs on (4.0 to 4.3). */
object Versions {
  private lazy val arrowIterator: Option[Int] = PythonEvalType.getClass.getMethods
    .find(_.getName == "SQL_SCALAR_ARROW_ITER_UDF")
    .map(_.invoke(PythonEvalType).asInstanceOf[Int])

  /** Whether batches travel as Arrow. On 4.0 they travel through pandas. */
  def hasArrowIterator: Boolean = arrowIterator.isDefined

  /** The kind of Python function of a call: the Arrow iterator (251) from 4.1 on, the pandas iterator on 4.0. */
  def evalType: Int = arrowIterator.getOrElse(PythonEvalType.SQL_SCALAR_PANDAS_ITER_UDF)

  /**
   * Returns the type in which an answer travels. pandas has no NULL of a STRUCT or a VARIANT, so on 4.0 such an
   * answer travels as an ARRAY of one element.
   */
  def transportType(answer: DataType): DataType = answer match {
    case _: StructType | _: VariantType if !hasArrowIterator => ArrayType(answer)
    case _ => answer
  }

  /** Returns the answer of type `answer` from the value that travelled. */
  def unwrap(value: Expression, answer: DataType): Expression =
    if (value.dataType == answer) value
    else GetArrayItem(value, Literal(0), failOnError = false)

  /**
   * Returns a value in the form that the worker reads. pandas has no time zone, so on 4.0 a TIMESTAMP travels as
   * text, the same text that the Python package writes on other engines.
   */
  def prepareInput(value: Expression): Expression = value.dataType match {
    case _ if hasArrowIterator => value
    case TimestampType => formatTimestamp(value)
    case struct: StructType if struct.existsRecursively(_ == TimestampType) => prepareStruct(value, struct)
    case _ => value
  }

  private def prepareStruct(value: Expression, struct: StructType): Expression = {
    val fields = struct.fields.toSeq.zipWithIndex.flatMap { case (field, i) =>
      Seq(Literal(field.name), prepareInput(GetStructField(value, i)))
    }
    val prepared = CreateNamedStruct(fields)
    If(IsNull(value), Literal(null, prepared.dataType), prepared)
  }

  private def formatTimestamp(value: Expression): Expression = {
    val zone = Some(SQLConf.get.sessionLocalTimeZone)
    val format = buildFunction("date_format", value, Literal("xxx"))
    val offset = format.transform { case e: DateFormatClass => e.copy(timeZoneId = zone) }
    val shortOffset = buildFunction("regexp_replace", offset, Literal(":00$"), Literal(""))
    buildFunction("concat", Cast(value, StringType, zone), shortOffset)
  }

  /** Builds a stock function by its name, because the constructors differ between versions. */
  private def buildFunction(name: String, arguments: Expression*): Expression = {
    val (_, builder) = FunctionRegistry.expressions(name)
    builder(arguments)
  }

  def collectList(value: Expression): Expression =
    buildFunction("collect_list", value).asInstanceOf[AggregateFunction].toAggregateExpression()

  /** Returns the session's own catalog by reflection: the catalog manager is a class on 4.0 and a trait on 4.3. */
  def sessionCatalog: CatalogPlugin = {
    val session = SparkSession.active.asInstanceOf[ClassicSession]
    val manager: AnyRef = session.sessionState.catalogManager
    val method = manager.getClass.getMethod("v2SessionCatalog")
    method.invoke(manager).asInstanceOf[CatalogPlugin]
  }

  /** Returns the exception of a Python worker. Its constructor has five arguments from 4.1 on, and two before. */
  def pythonException(message: String): Throwable = {
    val constructors = classOf[PythonException].getConstructors
    val arguments: Array[AnyRef] = Array(message, null, None, Map.empty, Array.empty[QueryContext])
    val found = constructors.find { constructor =>
      val types = constructor.getParameterTypes
      types.take(2).toSeq == Seq(classOf[String], classOf[Throwable])
    }
    val made = found.map(constructor => constructor.newInstance(arguments.take(constructor.getParameterCount): _*))
    made.map(_.asInstanceOf[Throwable]).getOrElse(new RuntimeException(message))
  }

  /** Adds a rule before operator optimization: a batch of its own from 4.1 on, an ordinary rule on 4.0. */
  def injectBeforeOptimization(extensions: SparkSessionExtensions, rule: Rule[LogicalPlan]): Unit = {
    val builder: SparkSession => Rule[LogicalPlan] = _ => rule
    extensions.getClass.getMethods.find(_.getName == "injectPreOperatorOptimizationRule") match {
      case Some(method) => method.invoke(extensions, builder)
      case None => extensions.injectOptimizerRule(builder)
    }
  }
}
