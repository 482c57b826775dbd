"""Delta tables on DuckDB: read by path, written by statements, rejected where the result would be wrong."""

import deltalake
import pyarrow as pa
import pytest

import aiquery
from aiquery.errors import ConfigError, StatementError


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets"
    messages = [f"text {i % 3}" for i in range(5)]
    deltalake.write_deltalake(path, pa.table({"id": range(5), "message": messages}))
    return path


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def con(server):
    con = aiquery.connect(config={"endpoints": {"m": server.endpoint(hedge=False)}})
    yield con
    con.close()


def test_a_relation_reads_a_table(con, tickets):
    frame = con.delta(tickets)  # noqa: F841  DuckDB finds it by name
    rows = con.sql("SELECT id, ai_query('m', message) FROM frame WHERE id < 2 ORDER BY id").fetchall()
    assert rows == [(0, "echo: text 0"), (1, "echo: text 1")]


def test_a_path_in_databricks_sql_is_the_newest_version(con, tickets):
    sql = f"SELECT count(*), max(ai_query('m', t.message)) FROM delta.`{tickets}` AS t"
    assert con.sql(sql, "databricks").fetchall() == [(5, "echo: text 2")]
    deltalake.write_deltalake(tickets, pa.table({"id": [9], "message": ["text 9"]}), mode="append")
    assert con.sql(sql, "databricks").fetchall() == [(6, "echo: text 9")]


def test_a_table_is_created_replaced_and_appended_to(con, tickets, tmp_path):
    made = tmp_path / "made"
    query = f"SELECT id, ai_query('m', message) AS answer FROM delta.`{tickets}`"
    con.sql(f"CREATE TABLE delta.`{made}` USING DELTA AS {query}", "databricks")
    con.sql(f"INSERT INTO delta.`{made}` {query} WHERE id = 0", "databricks")
    assert len(deltalake.DeltaTable(made).to_pyarrow_table()) == 6
    con.sql(f"CREATE OR REPLACE TABLE delta.`{made}` AS {query} LIMIT 1", "databricks")
    assert deltalake.DeltaTable(made).to_pyarrow_table().to_pylist() == [{"id": 0, "answer": "echo: text 0"}]
    assert deltalake.DeltaTable(made).version() == 2


def test_an_added_column_is_null_in_older_files(con, tmp_path):
    path = tmp_path / "parts"
    rows = pa.table({"id": range(6), "day": ["a", "b", None] * 2})
    deltalake.write_deltalake(path, rows, partition_by=["day"])
    deltalake.DeltaTable(path).alter.add_columns(deltalake.Field("topic", deltalake.schema.PrimitiveType("string")))
    more = pa.table({"id": [9], "day": ["a"], "topic": ["x"]})
    deltalake.write_deltalake(path, more, mode="append")
    frame = con.delta(path)  # noqa: F841  DuckDB finds it by name
    assert con.sql("SELECT id, day FROM frame WHERE topic IS NULL ORDER BY id").fetchall() == [
        (0, "a"), (1, "b"), (2, None), (3, "a"), (4, "b"), (5, None),
    ]  # fmt: skip
    assert con.sql("SELECT id FROM frame WHERE day = 'a' AND topic IS NULL ORDER BY id").fetchall() == [(0,), (3,)]
    assert con.sql("SELECT id FROM frame WHERE topic = 'x'").fetchall() == [(9,)]


def read_rows(path):
    stored = deltalake.DeltaTable(path).to_pyarrow_table().sort_by("id").to_pylist()
    return [tuple(row.values()) for row in stored]


def test_update_sends_one_request_for_equal_rows_and_writes_one_version(con, tickets, server):
    deltalake.DeltaTable(tickets).alter.add_columns(deltalake.Field("Topic", deltalake.schema.PrimitiveType("string")))
    update = f"UPDATE delta.`{tickets}` AS t SET t.topic = ai_query('m', T.Message) WHERE topic IS NULL AND id < 4"
    con.sql(update, "databricks")
    assert [topic for _, _, topic in read_rows(tickets)] == [*(f"echo: text {i % 3}" for i in range(4)), None]
    assert server.calls == 3
    version = deltalake.DeltaTable(tickets).version()
    con.sql(update, "databricks")
    assert version == 2
    assert deltalake.DeltaTable(tickets).version() == version
    assert server.calls == 3
    con.sql(f"UPDATE delta.`{tickets}` SET topic = coalesce(topic, 'none'), message = upper(message)", "databricks")
    assert read_rows(tickets)[3:] == [(3, "TEXT 0", "echo: text 0"), (4, "TEXT 1", "none")]
    con.sql(f"UPDATE delta.`{tickets}` SET topic = 'same'", "databricks")
    assert {topic for _, _, topic in read_rows(tickets)} == {"same"}


def test_insert_goes_by_position_or_by_named_columns(con, tickets):
    con.sql(f"INSERT INTO delta.`{tickets}` VALUES (7, ai_query('m', 'seven'))", "databricks")
    con.sql(f"INSERT INTO delta.`{tickets}` (message, id) SELECT 'eight' AS m, 8 AS n", "databricks")
    con.sql(f"INSERT INTO delta.`{tickets}` (id) SELECT 9", "databricks")
    assert read_rows(tickets)[5:] == [(7, "echo: seven"), (8, "eight"), (9, None)]
    with pytest.raises(StatementError, match="takes 2 columns, the query has 1"):
        con.sql(f"INSERT INTO delta.`{tickets}` (id, message) SELECT 1", "databricks")


def test_delete_where_an_answer_matches(con, tickets, server):
    con.sql(f"DELETE FROM delta.`{tickets}` WHERE id > 0 AND ai_query('m', message) LIKE '%text 1'", "databricks")
    assert [key for key, _ in read_rows(tickets)] == [0, 2, 3]
    assert server.calls == 3
    con.sql(f"DELETE FROM delta.`{tickets}`", "databricks")
    assert read_rows(tickets) == []


def test_merge_of_a_query_with_a_call(con, tickets, server):
    con.sql("CREATE TABLE news AS SELECT i AS ID, 'text ' || i AS s FROM range(3, 7) t(i)")
    con.sql(
        f"MERGE INTO delta.`{tickets}` t USING (SELECT id, ai_query('m', s) AS answer FROM news) AS s ON t.id = s.id "
        "WHEN MATCHED AND S.id = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET t.message = concat(s.answer, '!') "
        "WHEN NOT MATCHED AND s.id < 6 THEN INSERT (id, message) VALUES (s.ID, s.answer) "
        "WHEN NOT MATCHED BY SOURCE AND t.id = 0 THEN UPDATE SET message = 'old'",
        "databricks",
    )
    assert read_rows(tickets) == [(0, "old"), (1, "text 1"), (2, "text 2"), (4, "echo: text 4!"), (5, "echo: text 5")]
    assert server.calls == 4
    con.sql("CREATE TABLE more AS SELECT i AS id, ai_query('m', 'more') AS message FROM range(5, 7) t(i)")
    con.sql(
        f"MERGE INTO delta.`{tickets}` t USING more ON t.id = more.id "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        "databricks",
    )
    assert read_rows(tickets)[-2:] == [(5, "echo: more"), (6, "echo: more")]


def test_a_commit_after_a_write_conflict_is_retried_without_requests(con, tickets, server, monkeypatch):
    execute = deltalake.table.TableMerger.execute
    commits = []

    def execute_after_conflict(merger):
        commits.append(merger)
        if len(commits) == 1:  # another commit between the read and the first commit
            deltalake.DeltaTable(tickets).update(new_values={"message": "theirs"}, predicate="id < 2")
        return execute(merger)

    monkeypatch.setattr("deltalake.table.TableMerger.execute", execute_after_conflict)
    con.sql(f"UPDATE delta.`{tickets}` SET message = ai_query('m', message)", "databricks")
    assert read_rows(tickets)[:3] == [(0, "theirs"), (1, "theirs"), (2, "echo: text 2")]
    assert (server.calls, len(commits)) == (3, 2)


@pytest.mark.parametrize(
    ("statement", "advice"),
    [
        ("UPDATE delta.`{}` SET message = (SELECT max(s) FROM x)", "takes no subquery; use MERGE"),
        ("MERGE INTO delta.`{}` t USING x ON t.id = x.id WHEN MATCHED THEN UPDATE SET message = ai_query('m', x.s)",
         "calls ai_query in ON or WHEN; call it in the query of USING"),
        ("CREATE TABLE delta.`{}` (id INT)", "created and added to from a query"),
    ],
)  # fmt: skip
def test_the_error_of_an_unsupported_statement_names_an_alternative(con, tickets, server, statement, advice):
    with pytest.raises(StatementError, match=advice):
        con.sql(statement.format(tickets), "databricks")
    assert server.calls == 0


def test_a_table_that_does_not_exist_is_rejected(con, tmp_path):
    with pytest.raises(ConfigError, match="not a Delta table"):
        con.delta(tmp_path / "none")
    with pytest.raises(ConfigError, match="not a Delta table"):
        con.sql(f"SELECT * FROM delta.`{tmp_path / 'none'}`", "databricks")
