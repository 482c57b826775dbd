package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, RebalancePartitions}

class ShareCallsSuite extends PlanSuite {
  private def findExchanges(plan: LogicalPlan): Seq[LogicalPlan] =
    plan.collect { case exchange: RebalancePartitions if findNodes(exchange).nonEmpty => exchange }

  test("equal calls of a self-join are below equal exchanges") {
    val frame = session.sql("SELECT id, ask(s) AS a FROM t")
    val joined = frame.as("x").join(frame.as("y"), "a")
    val exchanges = findExchanges(joined.queryExecution.optimizedPlan)
    assertEquals(exchanges.size, 2)
    assertEquals(exchanges.map(_.canonicalized).distinct.size, 1)
  }

  test("different calls get no exchange") {
    val asked = "SELECT id, ask(s) AS a FROM t"
    val rated = "SELECT rate(s) AS a FROM t"
    val plan = optimize(s"SELECT x.id FROM ($asked) AS x JOIN ($rated) AS y USING (a)")
    assertEquals(findNodes(plan).size, 2)
    assertEquals(findExchanges(plan), Nil)
  }
}
