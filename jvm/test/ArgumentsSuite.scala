package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Add, AttributeReference, Cast, Expression, Literal}
import org.apache.spark.sql.catalyst.expressions.NamedArgumentExpression
import org.apache.spark.sql.types.{IntegerType, StringType}

class ArgumentsSuite extends munit.FunSuite {
  private val signature = FunctionSignature("f", "", Seq(
    Parameter("endpoint", "constant", required = true),
    Parameter("request", "column", required = true),
    Parameter("size", "constant", required = false)))
  private val endpoint = Literal("m")
  private val request = AttributeReference("s", StringType)()

  private def name(parameter: String, value: Expression) = NamedArgumentExpression(parameter, value)

  private def fail(arguments: Expression*): String =
    intercept[CallError](Arguments.place(signature, arguments)).getMessage

  test("positional and named arguments find their parameters") {
    val size = Literal(3)
    val places = Arguments.place(signature, Seq(endpoint, name("SIZE", size), name("request", request)))
    val expected = Map[String, Expression]("endpoint" -> endpoint, "size" -> size, "request" -> request)
    assertEquals(places, expected)
  }

  test("wrong arguments are errors that name the function and the parameters") {
    val parameters = "it takes endpoint, request, size."
    val misspelt = name("sise", endpoint)
    val repeated = name("request", request)
    assertEquals(fail(endpoint), s"f: argument 'request' is missing; $parameters")
    assertEquals(fail(endpoint, request, misspelt), s"f: argument 'sise' is not known; $parameters")
    assertEquals(fail(endpoint, request, repeated), "f: argument 'request' is given twice; remove one.")
    assertEquals(fail(endpoint, request, request, request), s"f: 4 arguments were given; $parameters")
  }

  test("constants are evaluated") {
    val places = Map("endpoint" -> endpoint, "request" -> request, "size" -> Add(Literal(1), Literal(2)))
    val constants = Arguments.evaluateConstants(signature, places)
    assertEquals(Json.write(constants), """{"endpoint":"m","size":3}""")
  }

  test("a column as a constant argument is an error") {
    val places = Map("endpoint" -> AttributeReference("size", IntegerType)())
    val error = intercept[CallError](Arguments.evaluateConstants(signature, places))
    assertEquals(error.getMessage, "f: endpoint must be a constant, not size.")
  }

  test("a constant that cannot be evaluated is an error") {
    val places = Map("endpoint" -> Cast(Literal("x"), IntegerType, ansiEnabled = true))
    val error = intercept[CallError](Arguments.evaluateConstants(signature, places))
    assert(error.getMessage.contains("cannot be evaluated"), error.getMessage)
  }
}
