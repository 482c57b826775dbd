"""A statement sees the tables of its own caller, and works on a connection whose settings are locked."""

import pyarrow as pa
import pytest

import aiquery
from aiquery.errors import ConfigError, ModelFileError

CONFIG = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}, "runs": {"store": "memory:"}}
CALL = "SELECT ai_query('m', s) AS a FROM frame"


@pytest.fixture
def con():
    with aiquery.connect(config=CONFIG) as opened:
        yield opened


def run(con, sql):
    """A function of a library: its caller's variables are none of its business."""
    return con.sql(sql).fetchall()


def execute(con, sql):
    return con.execute(sql).fetchall()


@pytest.mark.parametrize("call", [run, execute])
@pytest.mark.parametrize("sql", [CALL, "SELECT s FROM frame", "SELECT ai_gen(s, endpoint => 'm') FROM frame"])
def test_variables_of_other_functions_are_not_found(con, call, sql):
    frame = pa.table({"s": ["secret of the caller"]})
    with pytest.raises(Exception, match="frame does not exist"):
        call(con, sql)
    assert len(frame) == 1


def test_variables_of_the_caller_are_found(con):
    frame = pa.table({"s": ["x"]})
    assert con.sql(CALL).fetchall() == [("echo: x",)]
    assert con.execute(CALL).fetchall() == [("echo: x",)]
    assert con.sql("SELECT s FROM frame").fetchall() == [("x",)]
    assert con.execute("SELECT s FROM frame").fetchall() == [("x",)]
    assert con.execute("SELECT s FROM frame WHERE s = ?", ["x"]).fetchall() == [("x",)]
    assert con.sql("SELECT ai_query('m', s || ?) FROM frame", params=["y"]).fetchall() == [("echo: xy",)]
    assert con.query("SELECT s FROM frame").fetchall() == [("x",)]
    assert len(frame) == 1


def test_variables_of_all_frames_are_found_where_the_user_wants_that():
    settings = {"python_scan_all_frames": True}
    frame = pa.table({"s": ["x"]})
    with aiquery.connect(config=CONFIG, duckdb_config=settings) as con:
        assert run(con, CALL) == [("echo: x",)]
    assert len(frame) == 1


def test_a_variable_of_this_package_is_never_a_table(con):
    for name in ("relation", "query", "parsed", "rows", "raw"):
        with pytest.raises(Exception, match="does not exist"):
            con.sql(f"SELECT ai_query('m', 'x') FROM {name}")


def test_a_locked_connection_works():
    with aiquery.connect(config=CONFIG, duckdb_config={"lock_configuration": True}) as con:
        assert con.sql("SELECT ai_query('m', i::VARCHAR) FROM range(2) r(i)").fetchall() == [("echo: 0",), ("echo: 1",)]
        con.execute("CREATE TABLE t AS SELECT ai_query('m', 'x') AS a")
        assert con.sql("SELECT a, ai_query('m', a) FROM t").fetchall() == [("echo: x", "echo: echo: x")]
        with pytest.raises(ConfigError, match="SET it before you lock"):
            con.sql("SELECT uuid() AS u, ai_query('m', 'x')")
    settings = {"lock_configuration": True, "arrow_lossless_conversion": True, "enable_external_access": False}
    with aiquery.connect(config=CONFIG, duckdb_config=settings) as con:
        assert len(con.sql("SELECT uuid() AS u, ai_query('m', 'x')").fetchall()) == 1


@pytest.mark.local_model
@pytest.mark.parametrize("path", ["/etc/passwd", "/nowhere", "~/.ssh/id_rsa", "./x"])
def test_a_statement_does_not_find_out_which_files_exist(con, path):
    with pytest.raises(ModelFileError, match=r"its name must end with \.gguf"):
        con.sql(f"SELECT ai_query('local:{path}', 'x')")


@pytest.mark.local_model
def test_the_error_of_a_file_shows_none_of_its_bytes(con, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"S3CR" + bytes(100))
    with pytest.raises(ModelFileError, match="is not GGUF") as error:
        con.sql(f"SELECT ai_query('local:{path}', 'x')")
    assert "S3CR" not in str(error.value)
