"""Columns that calls make in an inner query, and names of such columns in WHERE: asked after the joins, in waves.

``{K}`` is a text that a call makes, ``{B}`` a truth value. The oracle is plain DuckDB with the answers in their place.
"""

import re

import pytest

from aiquery.engines.duckdb.planning.pull_up_columns import columns_to_move
from aiquery.engines.duckdb.syntax import parse

CALLS = {"K": "ai_query('m', 'repeat: ' || s)", "B": "ai_query('m', 'even: ' || s, returnType => 'BOOLEAN')"}
PLAIN = {"K": "('answer: ' || s)", "B": "(substr(s, 6)::INT % 2 = 0)"}
JOINED = 80

MOVED = {
    "in": "with q as (select id, {B} as b from t) select id from q where id in (select id from w) and b",
    "exists": "select id, a from (select id, {K} as a from t) q where exists (select 1 from w where w.id = q.id)",
    "join": "with q as (select id, g, {K} as a from t) select q.id, a, w.k from q join w using (id)",
    "join condition": "with q as (select id, {B} as b from t) select q.id, k from q join w on q.id = w.id where "
    "b and k < 4",
    "comma join": "with q as (select id, {K} as a from t) select q.id, a from q, w where q.id = w.id",
    "semi join": "with q as (select id, {K} as a from t) select id, a from q semi join w using (id)",
    "right side": "select w.id, q.a from w join (select id, {K} as a from t) q using (id)",
    "group by": "with q as (select id, {B} as b from t) select b, count(*) from q join w using (id) group by b",
    "group by a table's": "with q as (select id, {B} as b from t) select q.b as c, count(*), max(b) from q join "
    "w using (id) "
    "group by q.b",
    "group by all": "with q as (select id, {B} as b from t) select b, count(*) from q join w using (id) group by all",
    "aggregate": "with q as (select id, {K} as a from t) select max(a), count(distinct upper(a)) from q join w "
    "using (id)",
    "distinct": "with q as (select id, {B} as b from t) select distinct b, k from q join w using (id)",
    "expression": "with q as (select id, {K} as a from t) select upper(a) || k from q join w using (id) where a "
    "like '%6'",
    "case": "with q as (select id, {K} as a from t) select case when k = 2 then a end as x from q join w using (id)",
    "expression of a call": "with q as (select id, upper({K}) || '!' as a from t) select a from q join w using (id)",
    "chain": "with a as (select id, s, {K} as c from t), b as (select id, c from a where c > 'answer: text 3') "
    "select b.id, c from b join w using (id)",
    "condition and column": "with q as (select id, {K} as a from t where {B}) select a, k from q join w using (id)",
    "two columns": "with q as (select id, {K} as a, {B} as b from t) select a from q join w using (id) where b "
    "and k = 2",
    "other star": "with q as (select id, {K} as a from t) select w.*, a from q join w using (id)",
    "union": "with q as (select id, {K} as a from t) select a from q join w using (id) union all select id from w",
    "view": "select i, a from asking join w on asking.i = w.id",
    "order": "with q as (select id, {K} as a from t) select q.id, a from q join w using (id) order by a desc, q.id",
    "unselected order": "with q as (select id, {K} as a from t) select q.id from q join w using (id) order by a, q.id",
}
STAY = {
    "natural join": "select id from (select id, {K} as a from t) q natural join (select id, 'answer: text 16' "
    "as a from w) z",
    "join by the answer": "select q.id, z.id from (select id, {K} as a from t) q join "
    "(select id, 'answer: text 16' as a from w) z using (a)",
    "outer side": "select w.id, a from w left join (select id, {K} as a from t) q using (id)",
    "star": "select * from (select id, {K} as a from t) q join w using (id)",
    "window": "select a, row_number() over (partition by b order by q.id) from (select id, {K} as a, {B} as b "
    "from t) q "
    "join w using (id)",
    "having": "select b, count(*) from (select id, {B} as b from t) q join w using (id) group by b having b",
    "subquery": "select id, (select max(k) from w where w.id = q.id and a > 'e') from (select id, {K} as a from t) q "
    "where id in (select id from w)",
    "row": "select q from (select id, {K} as a from t) q join w using (id)",
    "alias of another": "select upper(a) as a from (select id, {K} as a from t) q join w using (id) order by a",
    "same name": "with q as (select id, {K} as a from t) select q.a as a, w.id as a from q join w using (id)",
    "aggregate inside": "select a, k from (select max({K}) as a from t where g = 1) q join w on true",
    "distinct inside": "select a, k from (select distinct g, {K} as a from t) q join w on w.k = q.g",
    "limit inside": "select a from (select id, {K} as a from t order by id limit 7) q join w using (id)",
    "rows of one": "select a, u, k from (select unnest([1, 2]) u, id, {K} as a from t) q join w using (id)",
    "name of a column of the star": "select q.id, q.g from (select *, {K} as g from t) q join w using (id)",
    "name of a column before it": "select q.id, q.a from (select id, g as a, {K} as a from t) q join w using (id)",
    "CTE of a table's name": "with w as (select id, {K} as k from t) select k from main.w join t using (id)",
    "CTE that another one hides": "with q as (select id, {K} as n from t) select z.n, k from "
    "(with q as (select 'k16' as id, 'five' as n) select id, n from q) z join w using (id)",
    "CTE behind its reader": "with a as (select id, k from w), w as (select id, {K} as k from t) "
    "select a.id, a.k from a join t using (id)",
    "CTE of another query": "select id, k from (with w as (select id, {K} as k from t) select 1 as one) z, w",
    "random part": "select count(*) from (select id, {K} || uuid() as a from t) q join w using (id) where a <> a || ''",
    "group by a name of two tables": "select q.k, q.id, count(*) from (select id, g, {K} as k from t) q "
    "join w on q.g = length(w.id) group by q.k, q.id",
    "group by a name of rows that differ": "select q.k, count(*) from (select g, {K} as k from t where g = 1) q "
    "join w on q.g = w.k or w.k > 3 group by q.k",
    "position": "select #2 as x from (select id, {K} as a from t) q join w using (id)",
    "other case": "select A, Q.A from (select id, {K} as a from t) q join w using (id)",
    "full join": "select q.id, a, k from (select id, {K} as a from t) q full join w using (id)",
}
ALIASES = {
    "in where": "select id, {B} as b from t where b",
    "beside others": "select id, s, {B} as b from t where g < 4 and b and id > 'k3'",
    "in an expression": "select id, {K} as a from t where a like '%6' or a like '%8'",
    "of a CTE": "with z as (select * from t where g < 5) select id, {B} as b from z where b",
    "pseudo-column": "select id, {K} as rowid from t where rowid = 3",
    "name of the table": "select id, {K} as t from t where t is not null and id < 'k11'",
    "ordered": "select id, g, {B} as b from t where b order by g desc, id limit 4",
}


@pytest.fixture
def shop(asked):
    asked.con.raw.execute(f"""
        CREATE TABLE t AS SELECT 'k' || i AS id, 'text ' || i AS s, i % 7 AS g FROM range(1600) r(i);
        CREATE TABLE w AS SELECT 'k' || (i * 16) AS id, i % 7 AS k FROM range({JOINED}) r(i);
    """)
    asked.con.execute(f"CREATE VIEW asking AS SELECT id AS i, {CALLS['K']} AS a FROM t")
    asked.answer = _answer
    return asked


def _answer(text):
    kind, content = re.search(r"(repeat|even): (text \d+)", text).groups()
    return f"answer: {content}" if kind == "repeat" else str(int(content[5:]) % 2 == 0).lower()


def _check(shop, query):
    """Run a query; compare its rows, names and types with plain DuckDB's, and return the number of requests."""
    shop.forget()
    relation = shop.con.sql(query.format(**CALLS))
    plain = query.format(**PLAIN).replace("from asking", f"from (select id as i, {PLAIN['K']} as a from t) asking")
    expected = shop.con.raw.sql(plain)
    assert relation.columns == expected.columns
    assert relation.types == expected.types
    rows = relation.fetchall()
    assert rows
    is_ordered = "order by" in plain.rsplit(")", 1)[-1]
    key = None if is_ordered else repr
    assert (rows if is_ordered else sorted(rows, key=key)) == (
        expected.fetchall() if is_ordered else sorted(expected.fetchall(), key=key)
    )
    return len(shop.texts)


@pytest.mark.parametrize("name", MOVED)
def test_a_column_of_an_inner_query_is_asked_after_the_joins_of_the_outer_one(shop, name):
    query = MOVED[name]
    calls = len(re.findall("{[KB]}", query))
    assert _check(shop, query) <= JOINED * max(calls, 1)


@pytest.mark.parametrize("name", STAY)
def test_a_column_stays_where_moving_it_would_change_the_result(shop, name):
    _check(shop, STAY[name])


def test_aggregates_of_an_inner_query_stay_there():
    assert columns_to_move(parse("select ai_query('m', s) as l from t"))
    assert not columns_to_move(parse("select ai_agg(s, 'sum') as l from t"))


def test_a_condition_on_an_inner_column_is_asked_in_waves(shop):
    query = "with c as (select id, g, {B} as ok from t) select id, g from c where ok order by id limit 3"
    assert _check(shop, query) <= 4 * 6 + 32
    assert _check(shop, "with c as (select id, g, {B} as ok from t) select distinct g from c where ok") <= 4 * 14 + 32


def test_a_column_that_reads_a_moved_one_within_try_has_the_name_that_is_written(shop):
    again = "try(ai_query('m', 'repeat: ' || substr(a, 9))) = 'x'"
    query = f"with q as (select id, {CALLS['K']} as a from t) select {again} from q join w using (id)"
    assert shop.con.sql(query).columns == shop.con.raw.sql(query).columns


def test_a_chain_of_queries_that_read_a_column_several_times_does_not_grow(shop):
    chain = ", ".join(
        f"c{i} as (select id, case when a = 'x' then upper(a) else a end as a from c{i - 1})" for i in range(1, 15)
    )
    _check(shop, "with c0 as (select id, {K} as a from t), " + chain + " select id, a from c14 join w using (id)")


@pytest.mark.parametrize("name", ALIASES)
def test_a_condition_may_name_a_column_that_a_call_makes(shop, name):
    query = ALIASES[name]
    needed = _check(shop, query)
    if "limit" not in query:
        if name in {"pseudo-column", "name of the table"}:
            return
        query += " order by id limit 4"
        assert _check(shop, query) <= 4 * 20 + 32
        assert needed <= 1600
    else:
        assert needed <= 4 * 20 + 32


def test_the_limit_of_a_query_ordered_by_all_its_columns_is_asked_in_waves(shop):
    assert _check(shop, "select g, id from t where {B} order by all desc nulls last limit 3") <= 4 * 6 + 32


def test_a_column_of_the_table_comes_before_a_selected_one_of_its_name(shop):
    assert _check(shop, "select id, {B} as g from t where g = 3 limit 2") == 2


def test_a_random_answer_of_a_row_is_the_same_in_all_rows_that_join_it(shop):
    sampled = (
        CALLS["K"].replace(")", ", modelParameters => {'temperature': 1.0})").replace("{", "{{").replace("}", "}}")
    )
    shop.con.raw.execute("CREATE TABLE twice AS SELECT * FROM w UNION ALL SELECT * FROM w")
    answers = iter(range(10_000))
    shop.answer = lambda _text: str(next(answers))
    rows, requests = shop.run(
        f"with q as (select id, {sampled.format()} as a from t) select q.id, a from q join twice using (id)"
    )
    assert len(rows) == 2 * JOINED
    assert len(set(rows)) == JOINED
    assert requests <= 1600
