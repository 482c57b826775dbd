package org.apache.spark.sql.aiquery

import org.apache.spark.sql.catalyst.expressions.{Alias, Attribute}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.types.StringType

class ExtractCallsSuite extends PlanSuite {
  private def extract(sql: String): LogicalPlan = ExtractCalls(analyze(sql))

  test("a call moves to a node of its own") {
    val plan = extract("SELECT upper(ask(s)) FROM t")
    assert(isExtracted(plan))
    assertEquals(findCalls(findNode(plan)).map(_.function), Seq("ask"))
  }

  test("the output of the plan stays the same") {
    val before = analyze("SELECT id, ask(s) AS a FROM t WHERE ask(s) LIKE 'x%' ORDER BY a")
    val after = ExtractCalls(before)
    assertEquals(after.output.map(_.exprId), before.output.map(_.exprId))
    assertEquals(after.output.map(_.name), Seq("id", "a"))
  }

  test("a plan without calls stays the same object") {
    val plan = analyze("SELECT upper(s) FROM t WHERE id = 1 ORDER BY s LIMIT 1")
    assert(ExtractCalls(plan) eq plan)
  }

  test("a call in a WHERE runs after the conditions without calls") {
    val plan = extract("SELECT id FROM t WHERE ask(s) = 'yes' AND id < 5")
    val node = findNode(plan)
    assertEquals(findFilters(node.child).map(readNames), Seq(Set("id")))
    assertEquals(findFilters(plan).map(readNames).head, Set("ask"))
  }

  test("a condition that is not deterministic keeps its place in a WHERE") {
    val plan = extract("SELECT id FROM t WHERE ask(s) = 'yes' AND rand() < 0.5")
    assertEquals(findFilters(plan).size, 1)
    assertEquals(findFilters(findNode(plan).child), Nil)
  }

  test("equal calls of one operator are one call") {
    val plan = extract("SELECT ask(s), upper(ask(s)), ask(s) || 'x' FROM t")
    assertEquals(findCalls(findNode(plan)).size, 1)
  }

  test("a call in WHERE and SELECT is one call") {
    val plan = extract("SELECT ask(s) FROM t WHERE ask(s) LIKE 'x%'")
    assertEquals(findCalls(findNode(plan)).size, 1)
  }

  test("a call in a subquery is reused above it by its new name") {
    val plan = optimize("SELECT b, ask(s) FROM (SELECT s, ask(s) AS b FROM t) WHERE length(ask(s)) > 1")
    assertEquals(findCalls(findNode(plan)).size, 1)
  }

  test("a call in another call's argument gets a node below it") {
    val plan = extract("SELECT ask(ask(s)) FROM t")
    val calls = findNodes(plan).map(_.udfs.head)
    assertEquals(calls.map(readNames), Seq(Set("ask"), Set("s")))
  }

  test("a call in a CASE gets its condition as an argument") {
    val plan = extract("SELECT CASE WHEN id < 5 THEN ask(s) WHEN g = 1 THEN rate(s) END FROM t")
    val nodes = findNodes(plan)
    assert(nodes.flatMap(findCalls).forall(_.hasCondition))
    val conditions = nodes.map(_.udfs.head.children.last)
    assertEquals(conditions.map(readNames), Seq(Set("id", "g"), Set("id")))
  }

  test("a call in IF, COALESCE, AND and OR gets a condition") {
    val expressions = Seq(
      "if(g = 1, ask(s), '')",
      "coalesce(s, ask(s))",
      "g = 1 AND ask(s) = ''",
      "g = 1 OR ask(s) = ''")
    for (expression <- expressions) {
      val plan = extract(s"SELECT $expression FROM t")
      assert(findCalls(findNode(plan)).head.hasCondition, expression)
    }
  }

  test("the first operand of COALESCE, AND and OR has no condition") {
    val expressions = Seq("coalesce(ask(s), s)", "ask(s) = '' AND g = 1", "ask(s) = '' OR g = 1")
    for (expression <- expressions) {
      val plan = extract(s"SELECT $expression FROM t")
      assert(!findCalls(findNode(plan)).head.hasCondition, expression)
    }
  }

  test("an unconditional call serves a conditional one") {
    val plan = extract("SELECT ask(s), CASE WHEN id < 5 THEN ask(s) END FROM t")
    assert(!findCalls(findNode(plan)).head.hasCondition)
  }

  test("a condition that is not deterministic does not become an argument") {
    val plan = extract("SELECT CASE WHEN rand() < 0.5 THEN ask(s) END FROM t")
    assert(!findCalls(findNode(plan)).head.hasCondition)
  }

  test("a condition inside TRY becomes NULL where it fails") {
    val plan = extract("SELECT try(if(1 / id > 0, ask(s), '')) FROM t")
    val condition = findNode(plan).udfs.head.children.last
    assert(condition.isInstanceOf[NullOnError], condition.toString)
  }

  test("each call of a join's condition runs on the side whose columns it reads") {
    val plan = extract("SELECT a.id FROM t AS a JOIN t AS b ON ask(a.s) = upper(ask(b.s))")
    val join = plan.collectFirst { case join: Join => join }.get
    assertEquals(findNodes(join.left).size, 1)
    assertEquals(findNodes(join.right).size, 1)
    assert(isExtracted(plan))
  }

  test("a call in the condition of a subquery over outer columns runs for each outer row") {
    val plan = optimize("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS u WHERE u.s = ask(t.s))")
    assert(isExtracted(plan))
    val node = findNode(plan)
    assert(!contains(node.child, "Join"))
  }

  test("a limit moves below a call") {
    val node = findNode(optimize("SELECT ask(s) FROM t LIMIT 3"))
    assert(contains(node.child, "LocalLimit"))
  }

  test("another Python function in an argument gets a projection below the call") {
    val relation = analyze("SELECT s FROM t")
    val stock = TestCalls.createStockFunction(relation.output)
    val call = TestCalls.create("ask", StringType, Seq(stock))
    val plan = ExtractCalls(Project(Seq(Alias(call, "a")()), relation))
    val node = findNode(plan)
    assert(node.udfs.head.children.forall(_.isInstanceOf[Attribute]))
    assert(node.child.expressions.exists(_.exists(_ eq stock)))
  }
}
