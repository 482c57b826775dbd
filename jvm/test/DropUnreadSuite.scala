package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.plans.logical.{RebalancePartitions, Sort}

class DropUnreadSuite extends PlanSuite {
  test("a call whose column is not selected disappears") {
    assertEquals(findNodes(optimize("SELECT id FROM (SELECT id, ask(s) AS a FROM t)")), Nil)
  }

  test("a call below a count disappears") {
    assertEquals(findNodes(optimize("SELECT count(*) FROM (SELECT id, ask(s) AS a FROM t)")), Nil)
  }

  test("a call below a GROUP BY that reads its answer stays") {
    assertEquals(findNodes(optimize("SELECT a, count(*) FROM (SELECT ask(s) AS a FROM t) GROUP BY a")).size, 1)
  }

  test("one of two calls disappears") {
    val plan = optimize("SELECT a FROM (SELECT ask(s) AS a, rate(s) AS b FROM t)")
    assertEquals(findCalls(findNode(plan)).map(_.function), Seq("ask"))
  }

  test("a global sort of answers reads an exchange") {
    val plan = optimize("SELECT ask(s) AS a FROM t ORDER BY a")
    val children = plan.collect { case Sort(_, true, child, _) => child }
    assert(children.head.isInstanceOf[RebalancePartitions], plan.toString)
  }

  test("a global sort without calls reads no exchange") {
    assert(!contains(optimize("SELECT id FROM t ORDER BY id"), "RebalancePartitions"))
  }
}
