package org.apache.spark.sql.aiquery

class GroupsSuite extends PlanSuite {
  test("a call over a grouping column runs once for each group") {
    val plan = optimize("SELECT g, ask(s), count(*) FROM t GROUP BY g, s")
    assert(contains(findNode(plan).child, "Aggregate"))
  }

  test("a call over an aggregate runs once for each group") {
    val plan = optimize("SELECT g, upper(ask(max(s))) FROM t GROUP BY g")
    assert(contains(findNode(plan).child, "Aggregate"))
    assert(isExtracted(plan))
  }

  test("a call that a GROUP BY reads runs for each row") {
    val plan = optimize("SELECT ask(s), count(*) FROM t GROUP BY ask(s)")
    assert(!contains(findNode(plan).child, "Aggregate"))
  }

  test("a call inside of an aggregate runs for each row") {
    val plan = optimize("SELECT g, max(ask(s)) FROM t GROUP BY g")
    assert(!contains(findNode(plan).child, "Aggregate"))
  }

  test("the columns of a GROUP BY keep their order and names") {
    val plan = optimize("SELECT count(*) AS n, ask(max(s)) AS a, g FROM t GROUP BY g")
    assertEquals(plan.output.map(_.name), Seq("n", "a", "g"))
  }
}
