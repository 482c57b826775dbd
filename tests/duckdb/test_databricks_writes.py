"""INSERT, UPDATE and MERGE of Databricks SQL write the types of the table as Spark does."""

import duckdb
import pytest

from aiquery.errors import StatementError

TABLE = "CREATE TABLE filled (id INT, name STRING, n BIGINT, st STRUCT<a: STRING, b: INT>)"
ROWS = "INSERT INTO filled VALUES (1, 'a', 1, struct('s', 1)), (2, 'b', 2, struct('t', 2))"


def run(con, sql, params=None):
    relation = con.sql(sql, params=params, dialect="databricks")
    return relation.fetchall() if relation is not None else None


@pytest.fixture
def filled(con):
    run(con, f"{TABLE}; {ROWS}")
    return con


@pytest.mark.parametrize(
    ("insert", "params", "row"),
    [
        ("(id) VALUES (1.7)", None, (1, None, None, None)),
        ("(id, name) SELECT 2.9, 1e7D", None, (2, "1.0E7", None, None)),
        ("(name) VALUES (TIMESTAMP'2024-01-01 00:00:00')", None, (None, "2024-01-01 00:00:00", None, None)),
        ("(st) SELECT named_struct('b', 'q', 'a', 5)", None, (None, None, None, {"a": "q", "b": 5})),
        ("(st, id) SELECT struct('y', 2), 3", None, (3, None, None, {"a": "y", "b": 2})),
        ("SELECT 9, ai_query('m', 'hi'), NULL, NULL", None, (9, "echo: hi", None, None)),
        ("VALUES (10, 'z', DEFAULT, NULL)", None, (10, "z", None, None)),
        ("(id) WITH q AS (SELECT 3.9 AS v) SELECT v FROM q", None, (3, None, None, None)),
        ("BY NAME SELECT 3.9 AS n, 11 AS id, 1e7D AS name", None, (11, "1.0E7", 3, None)),
        ("(id, n) VALUES (:a, :b)", {"a": 1.9, "b": 3.9}, (1, None, 3, None)),
        ("(id, n) SELECT ?, ?", [1.9, 3.9], (1, None, 3, None)),
    ],
)
def test_rows_are_inserted_with_the_types_of_the_table(con, insert, params, row):
    run(con, TABLE)
    run(con, f"INSERT INTO filled {insert}", params)
    assert run(con, "SELECT * FROM filled") == [row]


@pytest.mark.parametrize(
    ("sets", "params", "row"),
    [
        ("n = 1.7", None, (1, "a", 1, {"a": "s", "b": 1})),
        ("name = 1e7D, n = n + 1.5", None, (1, "1.0E7", 2, {"a": "s", "b": 1})),
        ("st = named_struct('b', 1.9, 'a', 5)", None, (1, "a", 1, {"a": "5", "b": 1})),
        ("name = DEFAULT, n = NULL", None, (1, None, None, {"a": "s", "b": 1})),
        ("f.n = :v", {"v": 7.9}, (1, "a", 7, {"a": "s", "b": 1})),
        ("name = ai_query('m', name)", None, (1, "echo: a", 1, {"a": "s", "b": 1})),
    ],
)
def test_values_are_updated_with_the_types_of_the_table(filled, sets, params, row):
    run(filled, f"UPDATE filled AS f SET {sets} WHERE f.id = 1", params)
    assert run(filled, "SELECT * FROM filled WHERE id = 1") == [row]


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("MAP<STRING, INT>", "map('a', 1.7)", {"a": 1}),
        ("MAP<STRING, STRING>", "map('a', 1e7D)", {"a": "1.0E7"}),
        ("ARRAY<ARRAY<INT>>", "array(array(1.7))", [[1]]),
        ("ARRAY<STRUCT<a: INT>>", "array(named_struct('a', 1.7))", [{"a": 1}]),
    ],
)
def test_items_are_written_with_the_types_of_the_table(con, kind, value, stored):
    run(con, f"CREATE TABLE nested (id INT, v {kind}); INSERT INTO nested VALUES (1, {value})")
    run(con, f"INSERT INTO nested SELECT 2, {value}; INSERT INTO nested (id) VALUES (3)")
    run(con, f"UPDATE nested SET v = {value} WHERE id = 3")
    assert run(con, "SELECT v FROM nested") == [(stored,)] * 3


@pytest.mark.parametrize(
    "change", ["name = lpad(id, 3, '0')", "name = '001' WHERE id LIKE '1%' AND lpad(id, 2, '0') = '01'"]
)
def test_an_update_has_the_implicit_casts_of_spark(filled, change):
    run(filled, f"UPDATE filled SET {change}")
    assert run(filled, "SELECT name FROM filled WHERE id = 1") == [("001",)]
    with pytest.raises(duckdb.BinderException, match="nope"):
        run(filled, "UPDATE filled SET nope = 1")


def test_a_field_of_a_struct_is_not_assigned_to_a_column_of_its_name(filled):
    with pytest.raises(StatementError, match=r"SET st\.b: .* assign the whole struct: SET st = named_struct"):
        run(filled, "UPDATE filled SET st.b = 3")
    with pytest.raises(StatementError, match=r"SET st\.b"):
        run(filled, "MERGE INTO filled t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET st.b = 3")
    assert run(filled, "SELECT st.b FROM filled ORDER BY id") == [(1,), (2,)]


def test_a_merge_writes_the_types_of_the_table(filled):
    source = "(SELECT id, id * 2.9 AS w FROM VALUES (1), (5) AS v(id)) s"
    run(
        filled,
        f"MERGE INTO filled AS t USING {source} ON t.id = s.id WHEN MATCHED AND s.w > 2 THEN UPDATE SET t.n = s.w, "
        "name = s.w WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.w) "
        "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = 0.9",
    )
    assert run(filled, "SELECT id, name, n FROM filled ORDER BY id") == [(1, "2.9", 2), (2, "b", 0), (5, None, 14)]


def test_a_merge_of_all_columns_goes_by_their_names(filled):
    source = "SELECT 2 AS id, 1.9 AS n, 5.5D AS name, named_struct('b', 9.9, 'a', 'u') AS st, 'more' AS other"
    merge = (
        "MERGE INTO filled t USING ({}) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
    run(filled, merge.format(f"{source} UNION ALL SELECT 7, 7.7, 1D, named_struct('b', 1.0, 'a', 'v'), ''"))
    assert run(filled, "SELECT * FROM filled WHERE id > 1 ORDER BY id") == [
        (2, "5.5", 1, {"a": "u", "b": 9}),
        (7, "1.0", 7, {"a": "v", "b": 1}),
    ]
    with pytest.raises(StatementError, match="the source lacks the column n"):
        run(filled, merge.format("SELECT 2 AS id, 'x' AS name"))


@pytest.mark.parametrize(
    ("insert", "rows"),
    [
        ("INSERT OVERWRITE filled SELECT 1.7, 1e7D, 2.9, named_struct('b', 'x', 'a', 1.9)",
         [(1, "1.0E7", 2, {"a": "x", "b": 1})]),
        ("INSERT OVERWRITE filled (name, id) SELECT 1e7D, 3.9", [(3, "1.0E7", None, None)]),
        ("INSERT OVERWRITE filled BY NAME SELECT 4.9 AS id, 1e7D AS name", [(4, "1.0E7", None, None)]),
        ("INSERT INTO filled REPLACE WHERE id = 1 SELECT 1.9, 2e7D, 3, struct('y', 2.9)",
         [(1, "2.0E7", 3, {"a": "y", "b": 2}), (2, "b", 2, {"a": "t", "b": 2})]),
        ("INSERT INTO filled REPLACE USING (id) SELECT 2.9, 'z', 0, struct('q', 1)",
         [(1, "a", 1, {"a": "s", "b": 1}), (2, "z", 0, {"a": "q", "b": 1})]),
        ("INSERT OVERWRITE filled PARTITION (id = 2) SELECT 1e8D, 1.5, NULL",
         [(1, "a", 1, {"a": "s", "b": 1}), (2, "1.0E8", 1, None)]),
    ],
)  # fmt: skip
def test_rows_that_replace_others_have_the_types_of_the_table(filled, insert, rows):
    run(filled, insert)
    assert run(filled, "SELECT * FROM filled ORDER BY id") == rows
