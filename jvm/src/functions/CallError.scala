package org.apache.spark.sql.aiquery

import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.catalyst.trees.Origin

/**
 * An error in the arguments of a call, raised at analysis.
 *
 * The text comes from the Python exception. The class and the SQLSTATE are read from the text, so that a Spark
 * Connect client receives them too. Spark adds the position.
 */
class CallError(text: String, position: Option[(Int, Int)] = None)
  extends AnalysisException(CallError.defaultCondition, Map("errorMessage" -> text)) {

  private val condition = CallError.find("^\\[(\\w+)\\]", text)
  private val state = CallError.find("SQLSTATE: (\\w{5})$", text)

  override def getCondition: String = condition.getOrElse(CallError.defaultCondition)

  override def getErrorClass: String = getCondition

  override def getSqlState: String = state.getOrElse("P0001")

  override def getSimpleMessage: String = text

  override def getMessage: String = position match {
    case Some((row, start)) => s"$text; line $row pos $start"
    case None => text
  }

  override def withPosition(origin: Origin): AnalysisException =
    if (position.isDefined || origin.line.isEmpty) this
    else {
      val start = origin.startPosition.getOrElse(0)
      new CallError(text, Some((origin.line.get, start)))
    }
}

object CallError {
  private val defaultCondition = "USER_RAISED_EXCEPTION"

  private def find(pattern: String, text: String): Option[String] =
    pattern.r.findFirstMatchIn(text).map(_.group(1))
}
