"""What is nested too deep is one of our errors, in SQL, types, schemas, configurations and replies."""

import json

import pytest

import aiquery
from aiquery.config.loader import load
from aiquery.errors import AIQueryError, ArgumentError, ConfigError, ReplyParseError, StatementError
from aiquery.limits import MAX_JSON_DEPTH, MAX_TYPE_DEPTH
from aiquery.requests.nesting import measure_json_depth, measure_type_depth
from aiquery.requests.parsing import JSONParser, read_json
from aiquery.requests.request import Response
from aiquery.requests.sql_types import parse_ddl, to_arrow


@pytest.fixture
def con():
    config = {"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}, "runs": {"store": "memory:"}}
    with aiquery.connect(config=config) as opened:
        yield opened


def nest_schema(depth):
    schema = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return json.dumps({"type": "json_schema", "json_schema": {"schema": schema}})


STATEMENTS = {
    "parentheses": lambda n: f"SELECT ai_query('m', {'(' * n}'x'{')' * n})",
    "CASE": lambda n: f"SELECT ai_query('m', {'CASE WHEN true THEN ' * n}'x'{' END' * n})",
    "NOT": lambda n: f"SELECT ai_query('m', 'x') WHERE {'NOT ' * n}true",
    "concatenation": lambda n: f"SELECT ai_query('m', {' || '.join(['x'.join(chr(39) * 2)] * n)})",
    "subqueries": lambda n: f"SELECT ai_query('m', x) FROM {'(SELECT * FROM ' * n}(SELECT 'x' AS x){')' * n}",
    "functions": lambda n: f"SELECT ai_query('m', {'upper(' * n}'x'{')' * n})",
    "lists": lambda n: f"SELECT ai_query('m', {'[' * n}'x'{']' * n}::VARCHAR)",
    "conditions": lambda n: f"SELECT ai_query('m', 'x') WHERE {' AND '.join(['true'] * n)}",
    "a type": lambda n: f"SELECT ai_query('m', 'x', returnType => '{'ARRAY<' * n}INT{'>' * n}')",
    "a struct": lambda n: f"SELECT ai_query('m', 'x', returnType => '{'STRUCT<a: ' * n}INT{'>' * n}')",
    "a format": lambda n: f"SELECT ai_query('m', 'x', responseFormat => 'STRUCT<r: {'ARRAY<' * n}INT{'>' * n}>')",
    "a schema": lambda n: f"SELECT ai_query('m', 'x', responseFormat => '{nest_schema(min(n, 300))}')",
    "a schema of ai_extract": lambda n: f"""SELECT ai_extract('x', '{'{"a":' * n}1{"}" * n}', endpoint => 'm')""",
    "labels": lambda n: f"SELECT ai_classify('x', '{'[' * n}{']' * n}', endpoint => 'm')",
}


@pytest.mark.parametrize("dialect", ["duckdb", "databricks"])
@pytest.mark.parametrize("depth", [100, 900])
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_is_nested_deep_runs_or_is_one_of_our_errors(con, name, depth, dialect):
    error = run(con, STATEMENTS[name](depth), dialect)
    # DuckDB has a limit of its own: 1000 levels.
    assert error is None or isinstance(error, AIQueryError) or "Max expression depth" in str(error), repr(error)
    assert len(str(error)) < 2000


def run(con, sql, dialect):
    try:
        con.sql(sql, dialect=dialect).fetchall()
    except Exception as error:  # noqa: BLE001  the test looks at it
        return error


def test_a_depth_that_people_write_runs(con):
    for dialect in ("duckdb", "databricks"):
        for name in ("parentheses", "CASE", "functions"):
            con.sql(STATEMENTS[name](25), dialect=dialect)


def test_the_error_says_what_to_do(con):
    with pytest.raises(StatementError, match="nested too deep"):
        con.sql(STATEMENTS["CASE"](900), dialect="databricks")


def test_the_deepest_type_that_is_accepted_is_one_that_arrow_passes_on(con):
    ddl = "ARRAY<" * MAX_TYPE_DEPTH + "INT" + ">" * MAX_TYPE_DEPTH
    to_arrow(parse_ddl(ddl))
    assert len(con.sql(f"SELECT ai_query('m', 'x', returnType => '{ddl}')").fetchall()) == 1


@pytest.mark.parametrize("text", ["[" * 5000, "[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200])
def test_a_deep_reply_is_the_error_of_its_row(text):
    with pytest.raises(ReplyParseError):
        read_json(text)
    with pytest.raises(ReplyParseError):
        JSONParser({"type": "array"}).read(Response(text=text), None)


def test_a_reply_of_the_highest_depth_is_read():
    text = "[" * MAX_JSON_DEPTH + "]" * MAX_JSON_DEPTH
    assert JSONParser({"type": "array"}).read(Response(text=text), None) == text


def test_brackets_within_strings_are_no_depth():
    text = json.dumps({"a": "[" * 500, "b": '"{' * 500})
    assert measure_json_depth(text) == 1
    assert read_json(text)["a"] == "[" * 500
    assert measure_type_depth("STRUCT<`a<b<c`: INT>") == 1


def test_a_deep_configuration_is_an_error(tmp_path):
    with pytest.raises(ConfigError):
        load('{"a":' * 5000 + "1" + "}" * 5000)
    path = tmp_path / "aiquery.toml"
    path.write_text("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError):
        load(path)


@pytest.mark.parametrize("text", [f"a = {'(' * 3000}1{')' * 3000}", f"a = {'NOT ' * 3000} true"])
def test_a_deep_update_is_an_error(con, text):
    con.execute("CREATE TABLE t AS SELECT 1 AS id, 'x' AS a")
    with pytest.raises(ArgumentError, match="does not parse"):
        aiquery.update("t", text, key="id", database=con, dialect="databricks")
