package org.apache.spark.sql.aiquery

import java.util.{ArrayList, LinkedHashMap, UUID}

import scala.util.control.NonFatal

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.util.{ArrayData, MapData}
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types._

/** A call in SQL -> a PythonUDF: arguments put in their places, constants evaluated, the type asked of Python. */
object Calls {
  def isCall(expression: Expression): Boolean = expression match {
    case udf: PythonUDF => udf.func.isInstanceOf[CallFunction]
    case _ => false
  }

  def hasCall(expression: Expression): Boolean = expression.exists(isCall)

  def functionOf(udf: PythonUDF): CallFunction = udf.func.asInstanceOf[CallFunction]

  /** Each call of a node's function, and what it reads: its columns, and its guard if it has one. */
  def callsOf(udf: PythonUDF): Seq[(Call, Seq[Expression])] = {
    val calls = functionOf(udf).calls
    calls.zip(calls.scanLeft(0)(_ + _.width)).map { case (call, start) => call -> udf.children.slice(start, start + call.width) }
  }

  def builder(function: Function)(arguments: Seq[Expression]): Expression = {
    val placed = place(function, arguments)
    val constants = this.constants(function, placed)
    val columns = for (p <- function.parameters if !p.constant; value <- placed.get(p.name)) yield p.name -> column(p, value)
    val settings = Settings.current
    val bound = Binder.bind(settings, function.name, constants)
    val onTheWay = Versions.typeOnTheWay(bound.returns)
    val call = CallFunction(
      Seq(Call(function.name, Json.write(constants), bound.config, columns.map(_._1), wrapped = onTheWay != bound.returns)),
      settings.environment, settings.python, settings.pythonVersion)(UUID.randomUUID.toString)
    val udf = PythonUDF(function.name, call, onTheWay, columns.map(_._2), Versions.evalType, udfDeterministic = true)
    Versions.arrived(udf, bound.returns)
  }

  /** The worker makes texts of a group's values, and sorts them: the same group is the same request. */
  private def column(parameter: Parameter, value: Expression): Expression =
    if (parameter.group) Versions.collected(Versions.ready(withoutNames(value)))
    else if (value.dataType.existsRecursively(_.isInstanceOf[YearMonthIntervalType]))
      throw new CallError(s"${parameter.name} must be no INTERVAL of years and months; cast it to STRING.")
    else Versions.ready(withoutNames(value))

  /** struct(5 AS a) has taken the name already; the Alias itself is no constant, and Spark cannot show it inside of a call. */
  private def withoutNames(value: Expression): Expression = value.transformUp { case Alias(child, _) => child }

  def constants(function: Function, placed: Map[String, Expression]): LinkedHashMap[String, AnyRef] = {
    val found = new LinkedHashMap[String, AnyRef]()
    for (p <- function.parameters if p.constant; value <- placed.get(p.name)) found.put(p.name, constant(function, p, value))
    found
  }

  def place(function: Function, arguments: Seq[Expression]): Map[String, Expression] = {
    val parameters = function.parameters
    def fail(problem: String) = throw new CallError(s"${function.name}: $problem")
    def names = parameters.map(_.name).mkString(", ")
    val named = arguments.dropWhile(!_.isInstanceOf[NamedArgumentExpression])
    val positional = arguments.take(arguments.size - named.size)
    if (positional.size > parameters.size) fail(s"${positional.size} arguments were given; it takes $names.")
    val places = named.map {
      case NamedArgumentExpression(key, value) =>
        parameters.find(_.name.equalsIgnoreCase(key)).getOrElse(fail(s"argument '$key' is not known; it takes $names.")).name -> value
      case _ => fail("a positional argument stands after a named one.")
    }
    val all = parameters.map(_.name).zip(positional) ++ places
    for ((name, several) <- all.groupBy(_._1) if several.size > 1) fail(s"argument '$name' is given twice.")
    for (p <- parameters if p.required && !all.exists(_._1 == p.name)) fail(s"argument '${p.name}' is missing; it takes $names.")
    all.toMap
  }

  private def constant(function: Function, parameter: Parameter, named: Expression): AnyRef = {
    val value = withoutNames(named)
    if (!value.foldable)
      throw new CallError(s"${function.name}: ${parameter.name} must be a constant, not ${value.sql}.")
    try plain(value.transformUp { case r: RuntimeReplaceable => r.replacement }.eval(), value.dataType)
    catch {
      case NonFatal(error) =>
        throw new CallError(s"${function.name}: ${parameter.name} = ${value.sql} cannot be evaluated: ${error.getMessage}")
    }
  }

  /** A Catalyst value as what JSON knows. */
  private def plain(value: Any, kind: DataType): AnyRef = (value, kind) match {
    case (null, _) => null
    case (row: InternalRow, struct: StructType) =>
      val fields = new LinkedHashMap[String, AnyRef]()
      for ((field, i) <- struct.fields.zipWithIndex) fields.put(field.name, plain(row.get(i, field.dataType), field.dataType))
      fields
    case (array: ArrayData, ArrayType(element, _)) =>
      val items = new ArrayList[AnyRef]()
      for (i <- 0 until array.numElements()) items.add(plain(array.get(i, element), element))
      items
    case (map: MapData, MapType(key, element, _)) =>
      val entries = new LinkedHashMap[String, AnyRef]()
      for (i <- 0 until map.numElements())
        entries.put(String.valueOf(map.keyArray().get(i, key)), plain(map.valueArray().get(i, element), element))
      entries
    case (number: Decimal, _) =>
      if (number.scale == 0) number.toJavaBigDecimal.toBigInteger else number.toJavaBigDecimal
    case (number: java.lang.Float, _) => new java.math.BigDecimal(number.toString)
    case (_: Array[Byte], _) => throw new IllegalArgumentException("a BINARY has no form in JSON; cast it to STRING.")
    case (_: Number, _: AtomicType) if !kind.isInstanceOf[NumericType] => text(value, kind)
    case (flag: java.lang.Boolean, _) => flag
    case (number: java.lang.Number, _) => number
    case (other, _) => other.toString
  }

  /** A date or a time, which Catalyst holds as a number, as DuckDB writes it into JSON. */
  private def text(value: Any, kind: DataType): String = {
    val zone = Option(SQLConf.get.sessionLocalTimeZone)
    val written = Cast(Literal(value, kind), StringType, zone).eval().toString
    if (kind != TimestampType) written
    else {
      val instant = java.time.Instant.EPOCH.plus(value.asInstanceOf[Long], java.time.temporal.ChronoUnit.MICROS)
      val offset = java.time.ZoneId.of(zone.get).getRules.getOffset(instant)
      written + java.time.format.DateTimeFormatter.ofPattern("xxx").format(offset).replaceFirst(":00$", "")
    }
  }
}
