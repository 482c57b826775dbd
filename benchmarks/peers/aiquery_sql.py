"""aiquery: a column through DuckDB SQL, with the answers stored on disk (the default)."""

import tempfile

from measure import measure, parse_arguments

import aiquery

url, prompts, concurrency = parse_arguments()
with tempfile.TemporaryDirectory() as folder:
    config = {
        "endpoints": {"m": {"base_url": url, "max_concurrency": concurrency}},
        "cache": {"store": f"{folder}/answers.sqlite"},
    }
    with aiquery.connect(config=config) as con:
        con.execute("CREATE TABLE t (i INT, s VARCHAR)")
        con.executemany("INSERT INTO t VALUES (?, ?)", [[i, s] for i, s in enumerate(prompts)])
        con.sql("SELECT ai_query('m', 'warm-up')")

        def answer():
            rows = con.sql("SELECT ai_query('m', s) AS a FROM t ORDER BY i").fetchall()
            return [text for (text,) in rows]

        measure(answer, prompts)
