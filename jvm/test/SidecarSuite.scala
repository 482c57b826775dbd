package org.apache.spark.sql.aiquery

/** Binds real functions with the driver sidecar, a Python process. */
class SidecarSuite extends PlanSuite {
  private def returnType(call: String): String = {
    val plan = analyze(s"SELECT $call AS r FROM t")
    plan.output.head.dataType.sql
  }

  private def fail(call: String): CallError = intercept[CallError](analyze(s"SELECT $call FROM t"))

  test("the sidecar returns the type of a call") {
    assertEquals(returnType("ai_query('m', s)"), "STRING")
    assertEquals(returnType("ai_query('m', s, returnType => 'INT')"), "INT")
    assertEquals(returnType("ai_query('m', s, returnType => 'STRUCT<a: INT>')"), "STRUCT<a: INT>")
  }

  test("a call carries its constants and the configuration") {
    val node = findNode(optimize("SELECT ai_query('m', request => s) FROM t"))
    val call = findCalls(node).head
    assertEquals(call.function, "ai_query")
    assertEquals(Json.read(call.constants).get("endpoint").asText, "m")
    assert(Json.read(call.config).get("endpoints").has("m"))
    assertEquals(call.columns, Seq("request"))
  }

  test("an error of the sidecar has the position of the call") {
    val error = fail("ai_query('none', s)")
    assert(error.getMessage.contains("none"), error.getMessage)
    assert(error.getMessage.contains("; line 1 pos 7"), error.getMessage)
  }

  test("a missing argument is an error") {
    assert(fail("ai_query('m')").getMessage.contains("argument 'request' is missing"))
  }

  test("two analyses of equal calls give one call") {
    val plan = optimize("SELECT ai_query('m', s), upper(ai_query('m', s)) FROM t")
    assertEquals(findCalls(findNode(plan)).size, 1)
  }
}
