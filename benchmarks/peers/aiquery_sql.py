"""aiquery, a column through DuckDB SQL, answers durable as by default."""

import tempfile

from measure import arguments, measured

import aiquery

url, prompts, concurrency = arguments()
with tempfile.TemporaryDirectory() as folder:
    config = {
        "endpoints": {"m": {"base_url": url, "max_concurrency": concurrency}},
        "cache": {"store": f"{folder}/answers.sqlite"},
    }
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE t (i INT, s VARCHAR)")
        con.executemany(
            "INSERT INTO t VALUES (?, ?)", [[i, s] for i, s in enumerate(prompts)]
        )
        con.sql("SELECT ai_query('m', 'warm-up')")
        measured(
            lambda: (
                a
                for (a,) in con.sql(
                    "SELECT ai_query('m', s) AS a FROM t ORDER BY i"
                ).fetchall()
            ),
            prompts,
        )
