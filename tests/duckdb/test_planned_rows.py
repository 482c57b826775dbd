"""Statements that a reader of the guide tried: the rows and names are those of an ordinary function."""

import pytest

SETUP = """
CREATE TABLE t AS SELECT i AS id, i % 10 AS g, i % 7 AS h, 'p' || (i * 7 % 10) AS s FROM range(200) r(i);
CREATE TABLE u AS SELECT i AS id, 'n' || i AS name FROM range(12) r(i);
CREATE TABLE few AS FROM (VALUES (1, 1, 'a3'), (NULL, 2, 'b3')) v(g, h, s);
CREATE TABLE pair AS FROM (VALUES (7, 1), (7, 2)) v(id, k);
CREATE VIEW vw AS SELECT id FROM t WHERE AI(s);
CREATE VIEW wide AS SELECT * FROM t WHERE AI(s);
CREATE VIEW named(a, b) AS SELECT id, g FROM t WHERE AI(s);
"""
STATEMENTS = """
WITH t AS (SELECT 99 id, 'q3' s) SELECT id FROM vw ORDER BY ALL
WITH t AS (SELECT 1 id, 'q' s) SELECT vw.id FROM vw, t ORDER BY ALL
SELECT (WITH t AS (SELECT 99 id, 'q3' s) SELECT max(vw.id) + max(t.id) FROM vw, t) z
WITH t AS (SELECT 99 id, 'q3' s) SELECT id FROM t WHERE id NOT IN (SELECT id FROM vw)
WITH a AS (SELECT * FROM u WHERE AI(name)) SELECT * FROM (WITH u AS (SELECT 1 AS x) SELECT a.id, u.x FROM a, u) q
WITH a AS (SELECT * FROM vw WHERE id > 3) SELECT a.id, vw.id FROM a JOIN vw USING (id) ORDER BY ALL
SELECT id, k, id NOT IN (SELECT g FROM few WHERE AI(s) AND few.h = pair.k) FROM pair ORDER BY ALL
SELECT id, k FROM pair WHERE id NOT IN (SELECT g FROM few WHERE AI(s) AND few.h = pair.k)
SELECT id, k FROM pair WHERE (id IN (SELECT g FROM few WHERE AI(s) AND few.h = pair.k)) IS NULL
SELECT id, nullif(id, 2) IN (SELECT nullif(g, 3) FROM t WHERE AI(s) AND t.h = u.id % 7) FROM u ORDER BY ALL
SELECT * REPLACE (-id AS id) FROM t WHERE AI(s) ORDER BY id LIMIT 3
SELECT t.* REPLACE (id::VARCHAR AS id) FROM t WHERE AI(s) ORDER BY id DESC LIMIT 2
SELECT COLUMNS('id')::VARCHAR FROM t WHERE AI(s) ORDER BY id LIMIT 2
SELECT COLUMNS(* EXCLUDE s)::VARCHAR FROM t WHERE AI(s) ORDER BY id LIMIT 2
SELECT DISTINCT ON (g) * REPLACE (-id AS id) FROM t WHERE AI(s) ORDER BY g, id
SELECT -id AS id FROM t WHERE AI(s) ORDER BY id LIMIT 3
SELECT unnest([id, id + 1]) AS z FROM t WHERE AI(s) ORDER BY z LIMIT 4
SELECT unnest([id, 1]) z FROM t WHERE AI(s) ORDER BY z LIMIT 4
SELECT DISTINCT unnest([id, -id]) z FROM t WHERE AI(s) ORDER BY z LIMIT 5
SELECT g, unnest([id, 1]) z FROM t WHERE AI(s) ORDER BY g, z LIMIT 14
SELECT EXISTS(FROM wide)
SELECT 3 IN (SELECT g FROM wide)
SELECT (SELECT count(*) FROM wide)
WITH c AS (SELECT * FROM t WHERE AI(s)) SELECT EXISTS(FROM c)
SELECT arg_max(AI(s), id) FROM t
SELECT g, any_value(AI(s) ORDER BY id) FROM t GROUP BY g ORDER BY g
SELECT arg_max(AI(s), id, 2) FROM t
SELECT id FROM wide ORDER BY id LIMIT 3
SELECT * FROM named ORDER BY a DESC LIMIT 3
SELECT * EXCLUDE (s) FROM wide ORDER BY id LIMIT 3
WITH v AS (SELECT id, g, s FROM t WHERE AI(s)), w AS (SELECT * FROM v WHERE g <> 3) SELECT id FROM w ORDER BY id LIMIT 3
SELECT DISTINCT g FROM wide ORDER BY g
SELECT id FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.g = u.id AND AI(t.s || u.name)) ORDER BY id
SELECT DISTINCT g FROM t WHERE AI('q' || s) ORDER BY g
SELECT id, AI(s) AS ok FROM t WHERE ok ORDER BY id LIMIT 4
SELECT count(*) FROM t WHERE AI(s) AND AI('x' || s)
SELECT id FROM t WHERE AI(s) LIMIT 3 OFFSET 500
SELECT id FROM t WHERE AI(s) LIMIT 0
SELECT * FROM (SELECT id FROM t WHERE AI(s) ORDER BY id LIMIT 5) WHERE id < 0
""".strip().splitlines()
CALL = "ai_query('m', {}, returnType => 'BOOLEAN')"


def with_calls(text):
    """Return a statement with a call in place of each AI(..)."""
    while (start := text.find("AI(")) >= 0:
        end = start + 3
        depth = 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + CALL.format(text[start + 3 : end - 1]) + text[end:]
    return text


@pytest.fixture
def plain():
    import duckdb

    con = duckdb.connect()
    con.execute("CREATE MACRO AI(x) AS CASE WHEN x IS NULL THEN NULL ELSE right(x, 1) IN ('3', '7') END")
    con.execute(SETUP)
    return con


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_rows_and_names_are_those_of_an_ordinary_function(asked, plain, statement):
    asked.answer = lambda text: "true" if text.rstrip("'}")[-1:] in {"3", "7"} else "false"
    asked.con.execute(with_calls(SETUP))
    relation = asked.con.sql(with_calls(statement))
    expected = plain.sql(statement)
    assert relation.fetchall() == expected.fetchall()
    if "AI(" not in statement:
        assert relation.columns == expected.columns
    asked.con.sql(f"EXPLAIN {with_calls(statement)}")
    asked.con.estimate(with_calls(statement))


FEW = {
    "SELECT id FROM wide ORDER BY id LIMIT 3": 80,
    "WITH v AS (SELECT id, g, s FROM t WHERE AI(s)) SELECT id FROM v ORDER BY id LIMIT 3": 80,
    "SELECT id FROM (SELECT id, g, s FROM t WHERE AI(s)) ORDER BY id LIMIT 3": 80,
    "SELECT DISTINCT h FROM t WHERE AI(s || id % 100 || '3')": 40,
    "SELECT id FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.g = u.id AND AI(t.s || u.name))": 200,
}


@pytest.mark.parametrize("statement", FEW)
@pytest.mark.parametrize("ordered", ["true", "false"])
def test_few_rows_are_asked(asked, statement, ordered):
    asked.answer = lambda text: "true" if text.rstrip("'}")[-1:] in {"3", "7"} else "false"
    asked.con.execute(with_calls(SETUP.replace("(i * 7 % 10)", "i")))
    asked.con.execute(f"SET preserve_insertion_order = {ordered}")
    _, requests = asked.run(with_calls(statement))
    assert requests <= FEW[statement]
