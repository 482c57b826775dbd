package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.types.{StringType, StructType}
import org.apache.spark.unsafe.types.UTF8String

class TrySuite extends PlanSuite {
  private val resultType = new StructType().add("result", StringType).add("errorMessage", StringType)
  private val noFailures = CreateArray(Nil)

  private def buildTry(argument: String): Expression = {
    val plan = analyze(s"SELECT try($argument) AS r FROM t")
    plan.expressions.collectFirst { case Alias(child, "r") => child }.get
  }

  private def createResult(result: String, error: String): CallResult = {
    val row = InternalRow(UTF8String.fromString(result), UTF8String.fromString(error))
    CallResult(noFailures, Literal(row, resultType), hasErrorField = true, StringType)
  }

  test("a call alone returns NULL on errors by itself") {
    val call = buildTry("ask(s)").collectFirst { case udf: PythonUDF => udf }.get
    val spec = Calls.getFunction(call).calls.head
    assert(spec.nullOnError)
    assertEquals(spec.failOnError, None)
  }

  test("a call in an expression returns its error as a value") {
    val expression = buildTry("upper(ask(s))")
    assert(expression.isInstanceOf[NullOnError], expression.toString)
    val call = expression.collectFirst { case udf: PythonUDF => udf }.get
    assertEquals(Calls.getFunction(call).calls.head.failOnError, Some(false))
    assert(expression.exists(_.isInstanceOf[CallResult]))
  }

  test("the type of TRY is the type of its argument") {
    assertEquals(buildTry("ask(s)").dataType.sql, "STRING")
    assertEquals(buildTry("rate(s) + 1").dataType.sql, "INT")
    assertEquals(buildTry("1 / id").dataType.sql, "DOUBLE")
    assertEquals(buildTry("describe(s)").dataType.sql, TestCalls.description.sql)
  }

  test("an argument that can fail is evaluated inside TRY") {
    val expression = buildTry("ask(CAST(1 / id AS STRING))")
    val result = expression.collectFirst { case result: CallResult => result }.get
    val attempts = result.failures.collect { case IsNull(attempt: NullOnError) => attempt }
    assertEquals(attempts.size, 1)
  }

  test("TRY with two arguments is an error") {
    val error = intercept[CallError](analyze("SELECT try(s, id) FROM t"))
    assert(error.getMessage.contains("try takes one argument, not 2."), error.getMessage)
  }

  test("NullOnError is NULL where its child fails") {
    val failing = RaiseError(Literal("no"))
    assertEquals(NullOnError(failing).eval(InternalRow.empty), null)
    assertEquals(NullOnError(Literal(5)).eval(InternalRow.empty), 5)
  }

  test("CallResult returns the result of a call without an error") {
    assertEquals(createResult("fine", null).eval(InternalRow.empty).toString, "fine")
    assertEquals(createResult(null, null).eval(InternalRow.empty), null)
  }

  test("CallResult raises the error of its call") {
    val error = intercept[CallFailed](createResult(null, "HTTP 400").eval(InternalRow.empty))
    assertEquals(error.getMessage, "HTTP 400")
  }

  test("CallResult raises an error for an argument that failed") {
    val failures = CreateArray(Seq(Literal.FalseLiteral, Literal.TrueLiteral))
    val result = createResult("fine", null).copy(failures = failures)
    val error = intercept[CallFailed](result.eval(InternalRow.empty))
    assert(error.getMessage.contains("cannot be evaluated"))
  }
}
