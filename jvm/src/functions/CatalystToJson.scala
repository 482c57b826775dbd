package org.apache.spark.sql.aiquery

import java.math.BigDecimal
import java.time.{Instant, ZoneId}
import java.time.format.DateTimeFormatter
import java.time.temporal.ChronoUnit
import java.util.{ArrayList, LinkedHashMap}

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Cast, Literal}
import org.apache.spark.sql.catalyst.util.{ArrayData, MapData}
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types._

/** Converts a Catalyst value to a Java value that the JSON mapper writes. */
object CatalystToJson {
  def convert(value: Any, dataType: DataType): AnyRef = (value, dataType) match {
    case (null, _) => null
    case (row: InternalRow, struct: StructType) => convertStruct(row, struct)
    case (array: ArrayData, ArrayType(element, _)) => convertArray(array, element)
    case (map: MapData, kind: MapType) => convertMap(map, kind)
    case (number: Decimal, _) => convertDecimal(number)
    case (number: java.lang.Float, _) => new BigDecimal(number.toString)
    case (_: Array[Byte], _) =>
      throw new IllegalArgumentException("JSON has no form for a BINARY; cast it to STRING.")
    case (_: Number, _: AtomicType) if !dataType.isInstanceOf[NumericType] =>
      formatTime(value, dataType)
    case (flag: java.lang.Boolean, _) => flag
    case (number: java.lang.Number, _) => number
    case (other, _) => other.toString
  }

  private def convertStruct(row: InternalRow, struct: StructType): AnyRef = {
    val fields = new LinkedHashMap[String, AnyRef]()
    for ((field, i) <- struct.fields.zipWithIndex) {
      val value = row.get(i, field.dataType)
      fields.put(field.name, convert(value, field.dataType))
    }
    fields
  }

  private def convertArray(array: ArrayData, element: DataType): AnyRef = {
    val items = new ArrayList[AnyRef]()
    for (i <- 0 until array.numElements())
      items.add(convert(array.get(i, element), element))
    items
  }

  private def convertMap(map: MapData, kind: MapType): AnyRef = {
    val entries = new LinkedHashMap[String, AnyRef]()
    for (i <- 0 until map.numElements()) {
      val key = map.keyArray().get(i, kind.keyType)
      val value = map.valueArray().get(i, kind.valueType)
      val item = convert(value, kind.valueType)
      entries.put(String.valueOf(key), item)
    }
    entries
  }

  private def convertDecimal(number: Decimal): AnyRef = {
    val decimal = number.toJavaBigDecimal
    if (number.scale == 0) decimal.toBigInteger else decimal
  }

  /** Formats a date, a time or an interval, which Catalyst stores as a number, as DuckDB writes it into JSON. */
  private def formatTime(value: Any, dataType: DataType): String = {
    val zone = SQLConf.get.sessionLocalTimeZone
    val cast = Cast(Literal(value, dataType), StringType, Option(zone))
    val text = cast.eval().toString
    value match {
      case micros: Long if dataType == TimestampType => text + formatOffset(micros, zone)
      case _ => text
    }
  }

  /** Formats the offset of the session's zone at an instant: "+02", or "+05:30". */
  private def formatOffset(micros: Long, zone: String): String = {
    val instant = Instant.EPOCH.plus(micros, ChronoUnit.MICROS)
    val offset = ZoneId.of(zone).getRules.getOffset(instant)
    DateTimeFormatter.ofPattern("xxx").format(offset).replaceFirst(":00$", "")
  }
}
