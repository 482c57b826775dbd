package org.apache.spark.sql.aiquery

import java.util.{Collections, UUID}

import org.apache.spark.api.python.{PythonBroadcast, PythonEvalType, SimplePythonFunction}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.sql.catalyst.expressions.{Expression, PythonUDF}
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.types.{DataType, IntegerType, StringType, StructType}

/** Functions whose calls need no driver sidecar, so that the tests of rules run without Python. */
object TestCalls {
  /** The answer of `describe`. */
  val description: StructType = new StructType().add("title", StringType).add("size", IntegerType)

  /** Adds `ask(text)`, `rate(text)` and `describe(text)`, which return a STRING, an INT and a STRUCT. */
  def register(session: SparkSession): Unit = {
    register(session, "ask", StringType)
    register(session, "rate", IntegerType)
    register(session, "describe", description)
  }

  def create(name: String, returns: DataType, arguments: Seq[Expression]): Expression = {
    val transport = Versions.transportType(returns)
    val columns = arguments.indices.map(i => s"argument$i")
    val spec = CallSpec(name, "{}", "{}", columns, inArray = transport != returns)
    val planId = UUID.randomUUID.toString
    val environment = Map("AIQUERY_COORDINATOR" -> "secret-token@host:1")
    val function = CallFunction(Seq(spec), environment, "python3", "3.11")(planId)
    val call = PythonUDF(name, function, transport, arguments, Versions.evalType, udfDeterministic = true)
    Versions.unwrap(call, returns)
  }

  /** Creates a Python function that is not a call. */
  def createStockFunction(arguments: Seq[Expression]): PythonUDF = {
    val variables = Collections.emptyMap[String, String]()
    val files = Collections.emptyList[String]()
    val broadcasts = Collections.emptyList[Broadcast[PythonBroadcast]]()
    val function = SimplePythonFunction(Nil, variables, files, "python3", "3.11", broadcasts, null)
    PythonUDF("stock", function, StringType, arguments, PythonEvalType.SQL_BATCHED_UDF, udfDeterministic = true)
  }

  private def register(session: SparkSession, name: String, returns: DataType): Unit = {
    val registry = session.sessionState.functionRegistry
    registry.createOrReplaceTempFunction(name, create(name, returns, _), "scala_udf")
  }
}
