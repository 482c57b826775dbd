package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Ascending, Literal, SortOrder}
import org.apache.spark.sql.catalyst.plans.logical.{Limit, LogicalPlan, Sort}

class SortFirstSuite extends PlanSuite {
  private def isSortedBelow(plan: LogicalPlan): Boolean = contains(findNode(plan).child, "Sort")

  private def isLimitedBelow(plan: LogicalPlan): Boolean = contains(findNode(plan).child, "GlobalLimit")

  test("sort and limit move below a call whose answer the order does not read") {
    val plan = optimize("SELECT id, ask(s) AS a FROM t ORDER BY id LIMIT 3")
    assert(isSortedBelow(plan))
    assert(isLimitedBelow(plan))
    assertEquals(plan.output.map(_.name), Seq("id", "a"))
  }

  test("sort and limit move below a call directly below them") {
    val node = findNode(ExtractCalls(analyze("SELECT ask(s) FROM t")))
    val order = SortOrder(node.child.output.head, Ascending)
    val limit = Limit(Literal(3), Sort(Seq(order), global = true, node))
    val plan = SortFirst(limit)
    assert(CallNode.unapply(plan).isDefined, plan.toString)
    assert(isLimitedBelow(plan))
  }

  test("columns that are computed from an answer stay above the limit") {
    val plan = optimize("SELECT id + 1 AS next, upper(ask(s)) AS a FROM t ORDER BY next LIMIT 3")
    assert(isLimitedBelow(plan))
    assert(isExtracted(plan))
    assertEquals(plan.output.map(_.name), Seq("next", "a"))
  }

  test("a call stays below a sort by its answer") {
    assert(!isLimitedBelow(optimize("SELECT id, ask(s) AS a FROM t ORDER BY a LIMIT 3")))
  }

  test("a call stays below a sort by a column that is computed from its answer") {
    assert(!isLimitedBelow(optimize("SELECT id, length(ask(s)) AS size FROM t ORDER BY size LIMIT 3")))
  }

  test("a sort without a limit stays above the call") {
    assert(!isLimitedBelow(optimize("SELECT id, ask(s) FROM t ORDER BY id")))
  }
}
