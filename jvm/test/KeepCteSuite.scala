package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{Filter, LogicalPlan}

class KeepCteSuite extends PlanSuite {
  private val twice = "SELECT x.a FROM c AS x JOIN c AS y ON x.id = y.id"

  private def findGuards(plan: LogicalPlan): Seq[LogicalPlan] =
    plan.collectWithSubqueries { case filter @ Filter(_: CteGuard, _) => filter }

  test("a CTE with calls gets one guard") {
    val plan = analyze(s"WITH c AS (SELECT id, ask(s) AS a FROM t) $twice")
    assertEquals(findGuards(plan).size, 1)
    assertEquals(findGuards(KeepCte(plan)).size, 1)
  }

  test("a CTE without calls gets no guard") {
    assertEquals(findGuards(analyze(s"WITH c AS (SELECT id, s AS a FROM t) $twice")), Nil)
  }

  test("a CTE with calls that two places read is computed once") {
    val plan = optimize(s"WITH c AS (SELECT id, ask(s) AS a FROM t) $twice")
    val nodes = findNodes(plan).map(_.canonicalized)
    assertEquals(nodes.distinct.size, 1)
    assert(contains(plan, "RepartitionByExpression") || contains(plan, "RebalancePartitions"), plan.toString)
  }

  test("the optimized plan has no guard") {
    assertEquals(findGuards(optimize(s"WITH c AS (SELECT id, ask(s) AS a FROM t) $twice")), Nil)
  }
}
