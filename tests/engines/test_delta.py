"""Delta tables on DuckDB: read by path, made and added to from a query, refused where they would be read wrong."""

import deltalake
import pyarrow as pa
import pytest

import aiquery
from aiquery.errors import ConfigError, StatementError


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets"
    deltalake.write_deltalake(path, pa.table({"id": range(5), "message": [f"text {i % 3}" for i in range(5)]}))
    return path


@pytest.fixture
def con(serve):
    server = serve()
    con = aiquery.connect(config={"endpoints": {"m": server.endpoint(hedge=False)}})
    yield con
    con.close()


def test_a_relation(con, tickets):
    frame = con.delta(tickets)  # noqa: F841  DuckDB finds it by name
    rows = con.sql("SELECT id, ai_query('m', message) FROM frame WHERE id < 2 ORDER BY id").fetchall()
    assert rows == [(0, "echo: text 0"), (1, "echo: text 1")]


def test_a_path_in_databricks_sql_is_the_newest_version(con, tickets):
    sql = f"SELECT count(*), max(ai_query('m', t.message)) FROM delta.`{tickets}` AS t"
    assert con.sql(sql, "databricks").fetchall() == [(5, "echo: text 2")]
    deltalake.write_deltalake(tickets, pa.table({"id": [9], "message": ["text 9"]}), mode="append")
    assert con.sql(sql, "databricks").fetchall() == [(6, "echo: text 9")]


def test_a_table_is_made_replaced_and_added_to(con, tickets, tmp_path):
    made = tmp_path / "made"
    query = f"SELECT id, ai_query('m', message) AS answer FROM delta.`{tickets}`"
    con.sql(f"CREATE TABLE delta.`{made}` USING DELTA AS {query}", "databricks")
    con.sql(f"INSERT INTO delta.`{made}` {query} WHERE id = 0", "databricks")
    assert len(deltalake.DeltaTable(made).to_pyarrow_table()) == 6
    con.sql(f"CREATE OR REPLACE TABLE delta.`{made}` AS {query} LIMIT 1", "databricks")
    assert deltalake.DeltaTable(made).to_pyarrow_table().to_pylist() == [{"id": 0, "answer": "echo: text 0"}]
    assert deltalake.DeltaTable(made).version() == 2


def test_what_is_not_done_here_names_what_does_it(con, tickets):
    for sql in (
        f"UPDATE delta.`{tickets}` SET message = ai_query('m', message)",
        f"MERGE INTO delta.`{tickets}` t USING x ON t.id = x.id WHEN MATCHED THEN UPDATE SET message = 'a'",
        f"DELETE FROM delta.`{tickets}`",
    ):
        with pytest.raises(StatementError, match="aiquery update delta:"):
            con.sql(sql, "databricks")


def test_what_is_no_table_is_refused(con, tmp_path):
    with pytest.raises(ConfigError, match="no Delta table"):
        con.delta(tmp_path / "none")
    with pytest.raises(ConfigError, match="no Delta table"):
        con.sql(f"SELECT * FROM delta.`{tmp_path / 'none'}`", "databricks")
