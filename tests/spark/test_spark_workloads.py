"""What users write for Spark, unchanged: the shared workloads, where they are present."""

import datetime as dt
import json
import time
from pathlib import Path

import deltalake
import numpy as np
import pyarrow as pa
import pytest
from pyspark.errors import AnalysisException

import aiquery
from aiquery.spark import settings
from aiquery.testing import Answer

pytestmark = [
    pytest.mark.spark,
    # py4j: a Java object that Python collects in one of our threads is given back over a connection made for that
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
ROOT = Path(__file__).parents[2]
WORKLOADS = ROOT.parent / "shared" / "workloads"
EMBEDDING = "databricks-bge-large-en"
BIG, SMALL = (
    "databricks-meta-llama-3-1-70b-instruct",
    "databricks-meta-llama-3-1-8b-instruct",
)
if not WORKLOADS.exists():
    pytest.skip(
        "the shared workloads are not beside this checkout", allow_module_level=True
    )


@pytest.fixture
def workload(spark, tmp_path):
    """Give a function that runs a workload by its number; what it needs is in ``names``, its server beside it."""
    sql = spark(
        lambda q: (
            Answer(status=400)
            if "poison" in q.prompt
            else ("small" if q.body["model"] == "small" else Answer())
        ),
        latency=0.05,
    )
    endpoint = sql.endpoints["m"]
    named = {BIG: endpoint, "endpoint": endpoint, SMALL: {**endpoint, "model": "small"}}
    named[EMBEDDING] = {**endpoint, "task": "embedding", "max_batch_size": 256}
    store = {"store": str(tmp_path / "answers.sqlite")}
    sql.session.conf.set(
        "spark.aiquery.config", sql.config(endpoints=named, cache=store)
    )

    def run(number, **names):
        (file,) = WORKLOADS.glob(f"{number}_*")
        if file.suffix == ".py":
            exec(  # noqa: S102  the test runs the documentation
                compile(file.read_text("utf-8"), str(file), "exec"),
                names := {"spark": sql.session, **names},
            )
            return names
        results = [
            sql.session.sql(text)
            for text in file.read_text("utf-8").split(";")
            if text.strip()
        ]
        return results[-1].collect()

    run.server, run.session, run.endpoint = sql.server, sql.session, endpoint
    return run


@pytest.fixture
def tickets(workload):
    """Give the table of tickets: half of them recent, every fifth message NULL, seven distinct others."""
    now = dt.datetime.now()  # noqa: DTZ005  Spark's TIMESTAMP of a naive time is local
    rows = [
        (
            i,
            None if i % 5 == 4 else f"text {i % 7}",
            now - dt.timedelta(days=1 + i % 2 * 29),
        )
        for i in range(300)
    ]
    frame = workload.session.createDataFrame(
        rows, "ticket_id BIGINT, customer_message STRING, timestamp TIMESTAMP"
    )
    frame.createOrReplaceTempView("support_tickets")


@pytest.fixture
def prompts(workload):
    texts = [(f"prompt {i % 20}",) for i in range(200)]
    df = workload.session.createDataFrame(texts, "prompt STRING").repartition(4)
    return df.selectExpr("prompt", "prompt AS prompt_column", "prompt AS prompt_text")


@pytest.fixture
def delta(workload):
    """Skip where there is no Delta for this Spark; give a function that makes a table in the catalog ``main``."""
    if "delta" not in workload.session.conf.get("spark.sql.extensions"):
        pytest.skip("Delta has no release for this version of Spark")

    def table(name, frame):
        workload.session.sql(
            f"CREATE NAMESPACE IF NOT EXISTS main.{name.split('.')[0]}"
        )
        frame.write.mode("overwrite").saveAsTable(f"main.{name}")

    return table


def test_01_only_the_last_week_each_message_once_and_the_select_asks_nothing(
    workload, tickets, delta
):
    assert len(workload("01")) == 10
    assert workload.session.table("support_tickets_classified").count() == 150
    assert workload.server.calls == 7


def test_02_at_most_100_calls(workload, tickets):
    assert len(workload("02")) == 100
    assert workload.server.calls <= 100


def test_03_and_04_one_answer_per_row(workload, delta):
    from pyspark.sql.functions import expr

    session = workload.session
    delta(
        "support.customer_tickets",
        session.range(40).selectExpr(
            "id AS ticket_id", "'broken ' || id AS description"
        ),
    )
    workload("03")
    rows = session.table("main.support.tickets_prioritized").collect()
    assert {row.priority for row in rows} == {
        "echo: Classify ticket priority as HIGH, MEDIUM, or LOW. Consider urgency and impact. Ticket: broken "
        + str(i)
        for i in range(40)
    }
    articles = session.range(10).selectExpr(
        "id AS article_id", "'t' AS title", "repeat('x', 3000 + 500 * id) AS content"
    )
    delta("content.articles", articles)
    workload("04", expr=expr)
    summaries = session.table("main.content.article_summaries").collect()
    assert len(summaries) == 10
    assert (
        max(len(row.summary) for row in summaries)
        == len("echo: Summarize in 2-3 sentences: ") + 4000
    )


def test_05_a_loop_over_single_texts_is_packed(workload, delta):
    session = workload.session
    chunks = session.range(0, 20_000, 1, 4).selectExpr(
        "id AS chunk_id",
        "concat('chunk ', id, repeat(' and more', CAST(id % 100 AS INT))) AS content",
    )
    delta("rag_demo.document_chunks", chunks)
    workload("05", spark=session)
    rows = (
        session.table("main.rag_demo.document_chunks_embedded")
        .orderBy("chunk_id")
        .collect()
    )
    assert len(rows) == 20_000
    asked = [q for q in workload.server.requests if q.path.endswith("/embeddings")]
    assert len(asked) <= 20_000 / 20
    assert max(len(text) for q in asked for text in q.texts) == 512
    config = session.conf.get("spark.aiquery.config")
    some = [rows[i] for i in (0, 99, 12_345, 19_999)]
    vectors = aiquery.Embedding(EMBEDDING, config=config).embed(
        [row.content[:512] for row in some]
    )
    assert np.array_equal(
        np.array([row.embedding for row in some], np.float32), vectors
    )


def test_06_two_calls_per_description_both_languages_in_flight(workload, delta):
    products = workload.session.range(0, 5, 1, 1).selectExpr(
        "id AS product_id", "'lamp ' || id % 3 AS description_en"
    )
    products.createOrReplaceTempView("products")
    workload("06")
    assert workload.session.table("product_descriptions_translated").count() == 5
    assert workload.server.calls == workload.server.peak_in_flight == 6


def nights(workload, delta):
    """Give the table of workload 07: half of it answered, every fifth message short."""
    tickets = workload.session.range(0, 200, 1, 2).selectExpr(
        "id AS ticket_id",
        "CASE WHEN id % 5 = 0 THEN 'short' ELSE concat('ticket ', id, repeat(' very long', 10)) END AS message",
        "CASE WHEN id < 100 THEN 'KNOWN' END AS sentiment",
    )
    delta("support.tickets", tickets)


@pytest.mark.parametrize("store", ["a store", "memory:"])
def test_07_only_rows_that_need_it_and_nothing_the_second_night(workload, delta, store):
    from pyspark.sql.functions import col, expr

    nights(workload, delta)
    session = workload.session
    if store == "memory:":
        config = json.loads(session.conf.get("spark.aiquery.config"))
        session.conf.set(
            "spark.aiquery.config", json.dumps({**config, "cache": {"store": store}})
        )
    workload("07", col=col, expr=expr)
    rows = session.table("main.support.tickets").collect()
    assert sum(row.sentiment == "KNOWN" for row in rows) == 100
    assert sum(row.sentiment == "small" for row in rows) == 80
    assert workload.server.calls == 80
    versions = session.sql("DESCRIBE HISTORY main.support.tickets").count()
    workload("07", col=col, expr=expr)
    assert workload.server.calls == 80
    assert session.sql("DESCRIBE HISTORY main.support.tickets").count() == versions


NIGHT = """
import sys
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, expr

spark = SparkSession.builder.getOrCreate()
spark.sql("CREATE NAMESPACE IF NOT EXISTS main.support")
spark.sql(f"CREATE TABLE main.support.tickets USING delta LOCATION '{sys.argv[2]}'")
exec(open(sys.argv[1]).read())
"""


def test_07_killed_after_the_answers_asks_nothing_again(
    workload, delta, tmp_path, serve
):
    import pyspark
    from processes import Commands
    from pyspark.sql.functions import col, expr

    jars = sorted((ROOT / ".cache" / "delta" / pyspark.__version__).glob("*.jar"))
    long = [f"ticket {i}" + " very long" * 10 for i in range(80)]
    path = tmp_path / "tickets"
    rows = {
        "ticket_id": range(80),
        "message": long,
        "sentiment": pa.nulls(80, pa.string()),
    }
    deltalake.write_deltalake(path, pa.table(rows))
    server = serve(latency=0.05)
    endpoints = {SMALL: server.endpoint(hedge=False)}
    config = json.dumps(
        {"endpoints": endpoints, "cache": {"store": str(tmp_path / "answers.sqlite")}}
    )
    told = settings(config)
    lake = {
        "spark.master": "local[2]",
        "spark.jars": ",".join([told["spark.jars"], *map(str, jars)]),
        "spark.sql.extensions": f"{told['spark.sql.extensions']},io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalog.main": "org.apache.spark.sql.aiquery.LocalCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    commands = Commands(tmp_path, {**told, **lake})
    (file,) = WORKLOADS.glob("07_*")
    with commands.running(NIGHT, str(file), str(path)) as script:
        while server.calls < 80 or server.in_flight:
            assert script.poll() is None, commands.stderr.read_text()
            time.sleep(0.01)
        time.sleep(0.1)  # answers are written every 20 ms
    workload.session.conf.set("spark.aiquery.config", config)
    workload.session.sql("DROP TABLE IF EXISTS main.support.tickets")
    workload.session.sql(
        f"CREATE TABLE main.support.tickets USING delta LOCATION '{path}'"
    )
    workload("07", col=col, expr=expr)
    assert server.calls == 80
    answered = (
        deltalake.DeltaTable(path)
        .to_pyarrow_table()
        .sort_by("ticket_id")["sentiment"]
        .to_pylist()
    )
    assert answered == [
        f"echo: Sentiment (POSITIVE/NEGATIVE/NEUTRAL): {text}" for text in long
    ]


def test_update_on_spark_in_slices(workload, delta):
    nights(workload, delta)
    given = {
        "key": "ticket_id",
        "where": "sentiment IS NULL AND length(message) > 50",
        "database": workload.session,
    }
    report = aiquery.update(
        "main.support.tickets",
        "sentiment = ai_query('endpoint', message)",
        commit_every_rows=30,
        **given,
    )
    assert (report.updated, report.failed, report.left, report.commits) == (80, 0, 0, 3)
    again = aiquery.update(
        "main.support.tickets",
        "sentiment = ai_query('endpoint', message)",
        commit_every_rows=30,
        **given,
    )
    assert (again.updated, again.commits) == (0, 0)
    assert workload.server.calls == 80


def test_update_on_spark_from_a_source_and_of_what_changed(workload, delta):
    nights(workload, delta)
    session = workload.session
    delta(
        "support.answered",
        session.range(0).selectExpr("id AS ticket_id", "'' AS message", "'' AS answer"),
    )
    given = {
        "set": {"message": "message", "answer": "ai_query('endpoint', concat('Topic? ', message))"},
        "key": "ticket_id", "source": "main.support.tickets", "where": "length(message) > 50", "refresh_changed": True,
        "database": session,
    }  # fmt: skip
    assert aiquery.update("main.support.answered", **given).updated == 160
    assert aiquery.update("main.support.answered", **given).updated == 0
    session.sql(
        "UPDATE main.support.tickets SET message = repeat('another ', 20) WHERE ticket_id IN (1, 2)"
    )
    assert aiquery.update("main.support.answered", **given).updated == 2
    (row,) = session.sql(
        "SELECT * FROM main.support.answered WHERE ticket_id = 2"
    ).collect()
    assert row.answer == "echo: Topic? " + "another " * 20
    with pytest.raises(aiquery.ArgumentError, match="does not exist"):
        aiquery.update("main.support.nothing", **given)


def test_08_count_alone_asks_nothing(workload, prompts):
    from pyspark.sql.functions import expr

    assert workload("08", df=prompts, expr=expr)["result_count"] == 200
    assert workload.server.calls == 0


def test_09_each_row_once_per_model(workload):
    texts = [(f"{'poison' if i % 10 == 0 else 'good'} {i}",) for i in range(200)]
    df = workload.session.createDataFrame(texts, "prompt_text STRING").repartition(4)
    names = workload("09", df=df)
    assert names["successful"].count() == 180
    big = [q.prompt for q in workload.server.requests if q.body["model"] != "small"]
    assert sorted(big) == sorted(text for (text,) in texts)
    workload.server.reply = lambda q: (
        Answer(status=400) if q.body["model"] != "small" else "rescued"
    )
    assert [row.result_retry for row in names["retried"].collect()] == ["rescued"] * 20
    assert len(workload.server.requests) == 200 + 20


def test_10_two_hundred_partitions_are_one_limit(workload, prompts):
    from pyspark.sql.functions import expr

    optimized = workload("10", df=prompts, expr=expr)["optimized_df"]
    assert len(optimized.collect()) == 200
    assert workload.server.calls == 20


def test_11_one_call_per_distinct_prompt(workload, prompts):
    from pyspark.sql.functions import expr

    final = workload("11", df=prompts, expr=expr)["final_df"]
    assert len(final.collect()) == 200
    assert workload.server.calls == 20
    assert (
        len(
            prompts.withColumn("result", expr("ai_query('endpoint', prompt)")).collect()
        )
        == 200
    )
    assert workload.server.calls == 20


def test_a_merge_pays_once_although_it_reads_its_source_twice(workload, delta):
    session = workload.session
    delta(
        "support.merged",
        session.range(50).selectExpr("id", "CAST(NULL AS STRING) AS sentiment"),
    )
    session.sql("""
        MERGE INTO main.support.merged t
        USING (SELECT id, ai_query('endpoint', 'merge ' || id) AS sentiment FROM range(25, 75)) s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET sentiment = s.sentiment WHEN NOT MATCHED THEN INSERT *
    """)
    rows = session.table("main.support.merged").collect()
    assert {row.id: row.sentiment for row in rows} == {
        i: f"echo: merge {i}" if i >= 25 else None for i in range(75)
    }
    assert workload.server.calls == 50


def test_a_constraint_that_calls_is_refused_when_it_is_made(workload, delta):
    session = workload.session
    delta("support.checked", session.range(3).selectExpr("id", "'text ' || id AS s"))
    with pytest.raises(AnalysisException, match="a CHECK constraint cannot call it"):
        session.sql(
            "ALTER TABLE main.support.checked ADD CONSTRAINT good CHECK (ai_query('m', s) = 'x')"
        )
    session.sql("INSERT INTO main.support.checked VALUES (3, 'text 3')")
    session.sql("ALTER TABLE main.support.checked ADD CONSTRAINT known CHECK (id >= 0)")
