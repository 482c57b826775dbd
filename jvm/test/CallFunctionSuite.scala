package org.apache.spark.sql.aiquery

import java.nio.{ByteBuffer, ByteOrder}
import java.nio.charset.StandardCharsets.UTF_8

import scala.jdk.CollectionConverters._

class CallFunctionSuite extends munit.FunSuite {
  private val call = CallSpec("ai_query", """{"endpoint":"m"}""", "{}", Seq("request"), hasCondition = true)

  private def createFunction(planId: String) =
    CallFunction(Seq(call), Map("AIQUERY_COORDINATOR" -> "secret@host:1"), "python3", "3.11")(planId)

  test("the JSON of a call has the fields that the worker reads") {
    val json = call.toJson
    val fields = json.fieldNames.asScala.toSeq
    val contents = Seq("function", "constants", "config", "columns")
    val flags = Seq("has_condition", "null_on_error", "estimate_only")
    assertEquals(fields, contents ++ flags)
    assertEquals(json.get("has_condition").asBoolean, true)
    assertEquals(json.get("columns").toString, """["request"]""")
  }

  test("the command is a pickle that calls load_udf with the JSON") {
    val command = createFunction("plan").command.toArray
    val head = "caiquery.engines.spark.executor.worker\nload_udf\n(X"
    val json = s"""{"plan_id":"plan","calls":[${call.toJson}]}"""
    assertEquals(new String(command.take(head.length), UTF_8), head)
    val length = command.slice(head.length, head.length + 4)
    val size = ByteBuffer.wrap(length).order(ByteOrder.LITTLE_ENDIAN).getInt
    assertEquals(size, json.length)
    assertEquals(new String(command.drop(head.length + 4), UTF_8), s"${json}tR.")
  }

  test("equal calls of different plans are equal") {
    assertEquals(createFunction("one"), createFunction("two"))
  }

  test("the text of a function does not show the coordinator's token") {
    assert(!createFunction("plan").toString.contains("secret"))
  }

  test("a call that returns its errors has failOnError set to false") {
    val changed = call.returnErrors(inArray = true)
    assertEquals(changed.failOnError, Some(false))
    assert(changed.inArray)
    assertEquals(call.failOnError, None)
  }
}
