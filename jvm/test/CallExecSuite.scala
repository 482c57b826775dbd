package org.apache.spark.sql.aiquery

class CallExecSuite extends PlanSuite {
  test("a call is planned as the node AiQuery with its metrics") {
    val plan = execute("SELECT ask(s) FROM t").sparkPlan
    val nodes = plan.collect { case node: CallExec => node }
    assertEquals(nodes.map(_.nodeName), Seq("AiQuery"))
    assert(CallExec.counters.keySet.subsetOf(nodes.head.metrics.keySet))
  }

  test("the text of a plan does not show the coordinator's token") {
    val text = execute("SELECT ask(s), rate(s) FROM t").toString
    assert(text.contains("AiQuery"))
    assert(!text.contains("secret-token"))
  }
}
