package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

class MergeCallsSuite extends PlanSuite {
  test("independent calls share a node") {
    val plan = optimize("SELECT ask(s), rate(s) FROM t")
    val node = findNode(plan)
    assertEquals(node.udfs.size, 1)
    assertEquals(findCalls(node).map(_.function), Seq("ask", "rate"))
  }

  test("the answers of merged calls keep their types and names") {
    val plan = optimize("SELECT ask(s) AS a, rate(s) AS b, describe(s) AS c FROM t")
    assertEquals(plan.output.map(_.name), Seq("a", "b", "c"))
    assertEquals(plan.output.map(_.dataType.sql), Seq("STRING", "INT", TestCalls.description.sql))
    assertEquals(findCalls(findNode(plan)).size, 3)
  }

  test("a call that reads the answer of another one stays in a node of its own") {
    val nodes = findNodes(optimize("SELECT ask(ask(s)) FROM t"))
    assertEquals(nodes.map(findCalls(_).size), Seq(1, 1))
  }

  test("a call directly above the call that it reads is not merged") {
    val extracted = ExtractCalls(analyze("SELECT ask(ask(s)) FROM t"))
    assertEquals(findNodes(extracted).head.child, findNodes(extracted).last: LogicalPlan)
    assertEquals(MergeCalls(extracted), extracted)
  }

  test("merged calls keep their conditions") {
    val plan = optimize("SELECT ask(s), CASE WHEN id < 5 THEN rate(s) END FROM t")
    val calls = Calls.splitArguments(findNode(plan).udfs.head)
    assertEquals(calls.map(_._1.hasCondition), Seq(false, true))
    assertEquals(calls.map(_._2.map(readNames)), Seq(Seq(Set("s")), Seq(Set("s"), Set("id"))))
  }

  test("a single call is not merged") {
    val function = Calls.getFunction(findNode(optimize("SELECT ask(s) FROM t")).udfs.head)
    assert(!function.isMerged)
  }
}
