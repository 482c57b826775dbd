"""Return types: one tree is converted to DDL, Arrow, JSON Schema and DuckDB."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiquery.errors import UnsupportedReturnType
from aiquery.requests.sql_types import (
    SQLType,
    from_arrow,
    parse_ddl,
    to_arrow,
    to_column,
    to_ddl,
    to_duckdb,
    to_json_schema,
)

SCALARS = ["STRING", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"]
names = st.sampled_from(["a", "b", "name", "x_1"])
scalars = st.sampled_from([SQLType(name) for name in SCALARS]) | st.builds(
    lambda p, s: SQLType("DECIMAL", precision=p, scale=min(p, s)), st.integers(1, 38), st.integers(0, 10)
)
types = st.recursive(
    scalars,
    lambda inner: (
        st.builds(lambda t: SQLType("ARRAY", element=t), inner)
        | st.builds(lambda t: SQLType("MAP", element=t), inner)
        | st.builds(
            lambda fields: SQLType("STRUCT", fields=tuple(fields.items())), st.dictionaries(names, inner, min_size=1)
        )
    ),
    max_leaves=6,
)


@given(types)
def test_a_type_is_the_same_after_ddl(sql_type):
    assert parse_ddl(to_ddl(sql_type)) == sql_type


@given(types)
def test_a_type_is_the_same_after_arrow(sql_type):
    assert from_arrow(to_arrow(sql_type)) == sql_type


@given(types)
def test_every_type_has_a_json_schema_and_a_duckdb_type(sql_type):
    assert to_json_schema(sql_type)["type"]
    assert to_duckdb(sql_type)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int", "INT"),
        ("VARCHAR(20)", "STRING"),
        ("struct<a int, `b c`: array<string>>", "STRUCT<a: INT, b c: ARRAY<STRING>>"),
        ("a INT, b STRING", "STRUCT<a: INT, b: STRING>"),
        ("decimal", "DECIMAL(10,0)"),
        ("map<string, decimal(5,2)>", "MAP<STRING, DECIMAL(5,2)>"),
    ],
)
def test_spellings_of_ddl(text, canonical):
    assert to_ddl(parse_ddl(text)) == canonical


@pytest.mark.parametrize("text", ["", "INTT", "ARRAY<", "MAP<INT, INT>", "INTERVAL", "a b c d"])
def test_text_that_is_not_a_type_is_rejected_with_the_known_types(text):
    with pytest.raises(UnsupportedReturnType, match=r"Known types|keys of a MAP"):
        parse_ddl(text)


def test_parsed_values_are_converted_to_a_column():
    sql_type = parse_ddl("STRUCT<d: DATE, n: DECIMAL(5,2), t: TIMESTAMP, m: MAP<STRING, INT>>")
    value = {"d": "2026-01-02", "n": "1.50", "t": "2026-01-02T03:04:05+02:00", "m": {"k": 1}}
    column = to_column([value, None], sql_type)
    assert column.type == to_arrow(sql_type)
    assert column.null_count == 1
    assert column[0]["t"].as_py().isoformat() == "2026-01-02T01:04:05+00:00"
    assert pa.types.is_decimal(column.type[1].type)
