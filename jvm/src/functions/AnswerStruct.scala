package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.types.{DataType, StringType, StructField, StructType}

/** The STRUCT of a call that returns its errors as values: the answer, and the message of the error. */
object AnswerStruct {
  def typeOf(answer: DataType): StructType =
    StructType(Seq(StructField("result", answer), StructField("errorMessage", StringType)))

  /** Returns the answer, or raises what `fail` makes of the message. */
  def read(struct: InternalRow, answer: DataType)(fail: String => Throwable): Any = {
    if (!struct.isNullAt(1)) throw fail(struct.getUTF8String(1).toString)
    if (struct.isNullAt(0)) null else struct.get(0, answer)
  }
}
