"""Functions of Databricks SQL that are refused on DuckDB, and what to use instead."""

from __future__ import annotations

_SKETCH = "DuckDB has other sketches; use approx_count_distinct or an exact aggregate."
_XML = "parse the XML before it is loaded."
_SPATIAL = "use DuckDB's spatial extension on the plain connection."
_CRYPTO = "encrypt outside of SQL."
_SPARK_ONLY = "it is about Spark's own execution."
_CSV = "use read_files or split."
_WINDOW = "group by date_trunc or time_bucket."

REFUSED: dict[str, str] = {
    **dict.fromkeys(("aes_encrypt", "aes_decrypt", "try_aes_decrypt"), _CRYPTO),
    **dict.fromkeys(("from_xml", "to_xml", "schema_of_xml"), _XML),
    **dict.fromkeys(("from_csv", "to_csv", "schema_of_csv"), _CSV),
    **dict.fromkeys(("st_asbinary", "st_geogfromwkb", "st_geomfromwkb", "st_setsrid", "st_srid"), _SPATIAL),
    **dict.fromkeys(("window", "window_time", "session_window"), _WINDOW),
    **{
        f"xpath{suffix}": _XML
        for suffix in ("", "_boolean", "_double", "_float", "_int", "_long", "_number", "_short", "_string")
    },
    **dict.fromkeys(
        ("java_method", "reflect", "try_reflect", "spark_partition_id", "input_file_name", "input_file_block_start",
         "input_file_block_length", "monotonically_increasing_id", "python_worker_logs", "sql_keywords", "collations"),
        _SPARK_ONLY,
    ),
    **dict.fromkeys(
        ("approx_top_k", "approx_top_k_accumulate", "approx_top_k_combine", "approx_top_k_estimate",
         "count_min_sketch", "hll_sketch_agg", "hll_sketch_estimate", "hll_union", "hll_union_agg",
         "histogram_numeric"),
        _SKETCH,
    ),
    **{
        f"{kind}_{name}": _SKETCH
        for kind in ("theta", "tuple", "kll")
        for name in ("difference", "intersection", "intersection_agg", "sketch_agg", "sketch_estimate", "union",
                     "union_agg")
    },
    **{
        f"tuple_{name}_{kind}": _SKETCH
        for kind in ("double", "integer", "theta_double", "theta_integer")
        for name in ("difference", "intersection", "intersection_agg", "sketch_agg", "sketch_estimate",
                     "sketch_summary", "sketch_theta", "union", "union_agg")
    },
    **dict.fromkeys(("collate", "collation"), "compare lower(..) or upper(..)."),
    "collect_union": "use array_distinct(flatten(collect_list(..))).",
    "counter_diff": "use lag.",
    "ai_forecast": "forecast outside of SQL.",
    "ai_top_drivers": "compare the groups with aggregates.",
    **dict.fromkeys(("ai_parse_document", "ai_prep_search"), "read the text of a document outside of SQL."),
    "vector_search": "join with ai_similarity, or with the distances of ai_embed.",
    "http_request": "ask a model with ai_query, and other servers outside of SQL.",
    **dict.fromkeys(("secret", "try_secret", "list_secrets"), "an endpoint reads its key from the environment."),
    **dict.fromkeys(("remote_query", "read_kafka", "read_kinesis", "read_pubsub", "read_pulsar", "read_state_metadata",
                     "read_statestore", "cloud_files_state", "event_log", "table_changes"),
                    "the source is outside of DuckDB; load it into a table first."),
    **dict.fromkeys(("make_ym_interval",), "use INTERVAL '1-2' YEAR TO MONTH."),
    **dict.fromkeys(("vector_avg", "vector_sum"), "explode the vectors with posexplode, and group by the position."),
    **dict.fromkeys(("from_avro", "to_avro", "schema_of_avro", "from_protobuf", "to_protobuf"),
                    "decode outside of SQL."),
}  # fmt: skip
