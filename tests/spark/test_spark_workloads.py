"""Workloads of Spark's users, unchanged. The tests are skipped if the shared workloads are not present."""

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
    # py4j: a Java object that Python collects in one of our threads is released over a new connection
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
ROOT = Path(__file__).parents[2]
WORKLOADS = ROOT.parent / "shared" / "workloads"
EMBEDDING = "databricks-bge-large-en"
BIG = "databricks-meta-llama-3-1-70b-instruct"
SMALL = "databricks-meta-llama-3-1-8b-instruct"
if not WORKLOADS.exists():
    pytest.skip("the shared workloads are not beside this checkout", allow_module_level=True)


@pytest.fixture
def workload(spark, tmp_path):
    """Return a function that runs a workload by its number with global ``names``; its server is an attribute."""

    def reply(question):
        if "poison" in question.prompt:
            return Answer(status=400)
        if question.body["model"] == "small":
            return "small"
        return Answer()

    sql = spark(reply, latency=0.05)
    endpoint = sql.endpoints["m"]
    named = {BIG: endpoint, "endpoint": endpoint, SMALL: {**endpoint, "model": "small"}}
    named[EMBEDDING] = {**endpoint, "task": "embedding", "max_batch_size": 256}
    store = {"store": str(tmp_path / "answers.sqlite")}
    sql.session.conf.set("spark.aiquery.config", sql.config(endpoints=named, cache=store))

    def run(number, **names):
        (file,) = WORKLOADS.glob(f"{number}_*")
        text = file.read_text("utf-8")
        if file.suffix == ".py":
            global_names = {"spark": sql.session, **names}
            exec(compile(text, str(file), "exec"), global_names)  # noqa: S102  the test runs the documentation
            return global_names
        statements = [part for part in text.split(";") if part.strip()]
        results = [sql.session.sql(statement) for statement in statements]
        return results[-1].collect()

    run.server = sql.server
    run.session = sql.session
    run.endpoint = endpoint
    return run


@pytest.fixture
def tickets(workload):
    """Create the table of tickets: half of them recent, every fifth message NULL, seven distinct other messages."""
    now = dt.datetime.now()  # noqa: DTZ005  Spark's TIMESTAMP of a naive time is local
    rows = []
    for i in range(300):
        message = None if i % 5 == 4 else f"text {i % 7}"
        days = 1 + i % 2 * 29
        rows.append((i, message, now - dt.timedelta(days=days)))
    frame = workload.session.createDataFrame(rows, "ticket_id BIGINT, customer_message STRING, timestamp TIMESTAMP")
    frame.createOrReplaceTempView("support_tickets")


@pytest.fixture
def prompts(workload):
    texts = [(f"prompt {i % 20}",) for i in range(200)]
    df = workload.session.createDataFrame(texts, "prompt STRING").repartition(4)
    return df.selectExpr("prompt", "prompt AS prompt_column", "prompt AS prompt_text")


@pytest.fixture
def delta(workload):
    """Return a function that creates a table in the catalog ``main``; skip if there is no Delta for this Spark."""
    if "delta" not in workload.session.conf.get("spark.sql.extensions"):
        pytest.skip("Delta has no release for this version of Spark")

    def create_table(name, frame):
        namespace, _, _ = name.partition(".")
        workload.session.sql(f"CREATE NAMESPACE IF NOT EXISTS main.{namespace}")
        frame.write.mode("overwrite").saveAsTable(f"main.{name}")

    return create_table


def test_01_each_message_of_the_last_week_is_sent_once_and_none_by_the_select(workload, tickets, delta):
    assert len(workload("01")) == 10
    assert workload.session.table("support_tickets_classified").count() == 150
    assert workload.server.calls == 7


def test_02_at_most_100_calls(workload, tickets):
    assert len(workload("02")) == 100
    assert workload.server.calls <= 100


def test_03_and_04_one_answer_per_row(workload, delta):
    from pyspark.sql.functions import expr

    session = workload.session
    tickets = session.range(40).selectExpr("id AS ticket_id", "'broken ' || id AS description")
    delta("support.customer_tickets", tickets)
    workload("03")
    rows = session.table("main.support.tickets_prioritized").collect()
    prompt = "Classify ticket priority as HIGH, MEDIUM, or LOW. Consider urgency and impact. Ticket: broken "
    expected = {f"echo: {prompt}{i}" for i in range(40)}
    assert {row.priority for row in rows} == expected
    articles = session.range(10).selectExpr(
        "id AS article_id", "'t' AS title", "repeat('x', 3000 + 500 * id) AS content"
    )
    delta("content.articles", articles)
    workload("04", expr=expr)
    summaries = session.table("main.content.article_summaries").collect()
    assert len(summaries) == 10
    longest = max(len(row.summary) for row in summaries)
    assert longest == len("echo: Summarize in 2-3 sentences: ") + 4000


def test_05_a_loop_over_single_texts_sends_batches(workload, delta):
    session = workload.session
    chunks = session.range(0, 20_000, 1, 4).selectExpr(
        "id AS chunk_id", "concat('chunk ', id, repeat(' and more', CAST(id % 100 AS INT))) AS content"
    )
    delta("rag_demo.document_chunks", chunks)
    workload("05", spark=session)
    rows = session.table("main.rag_demo.document_chunks_embedded").orderBy("chunk_id").collect()
    assert len(rows) == 20_000
    requests = [q for q in workload.server.requests if q.path.endswith("/embeddings")]
    assert len(requests) <= 20_000 / 20
    assert max(len(text) for request in requests for text in request.texts) == 512
    config = session.conf.get("spark.aiquery.config")
    sample = [rows[i] for i in (0, 99, 12_345, 19_999)]
    texts = [row.content[:512] for row in sample]
    vectors = aiquery.Embedding(EMBEDDING, config=config).embed(texts)
    stored = np.array([row.embedding for row in sample], np.float32)
    assert np.array_equal(stored, vectors)


@pytest.mark.local_model
def test_05_runs_on_the_local_model_unchanged(workload, delta):
    session = workload.session
    local = {"provider": "local", "model": "all-minilm-l6-v2"}
    config = {"endpoints": {EMBEDDING: local}, "cache": {"store": "memory:"}}
    session.conf.set("spark.aiquery.config", json.dumps(config))
    chunks = session.range(0, 300, 1, 2).selectExpr("id AS chunk_id", "'chunk about card ' || id AS content")
    delta("rag_demo.document_chunks", chunks)
    workload("05", spark=session)
    rows = session.table("main.rag_demo.document_chunks_embedded").collect()
    assert len(rows) == 300
    assert {len(row.embedding) for row in rows} == {384}
    assert workload.server.calls == 0


def test_06_the_calls_for_both_languages_are_in_flight_at_once(workload, delta):
    products = workload.session.range(0, 5, 1, 1).selectExpr("id AS product_id", "'lamp ' || id % 3 AS description_en")
    products.createOrReplaceTempView("products")
    workload("06")
    assert workload.session.table("product_descriptions_translated").count() == 5
    assert workload.server.calls == 6
    assert workload.server.peak_in_flight >= 5  # the first request to an endpoint is sent alone


def create_tickets(workload, delta):
    """Create the table of workload 07: half of its rows answered, every fifth message short."""
    tickets = workload.session.range(0, 200, 1, 2).selectExpr(
        "id AS ticket_id",
        "CASE WHEN id % 5 = 0 THEN 'short' ELSE concat('ticket ', id, repeat(' very long', 10)) END AS message",
        "CASE WHEN id < 100 THEN 'KNOWN' END AS sentiment",
    )
    delta("support.tickets", tickets)


@pytest.mark.parametrize("store", ["a store", "memory:"])
def test_07_pending_rows_send_requests_and_the_second_night_sends_none(workload, delta, store):
    from pyspark.sql.functions import col, expr

    create_tickets(workload, delta)
    session = workload.session
    if store == "memory:":
        config = json.loads(session.conf.get("spark.aiquery.config"))
        config["cache"] = {"store": store}
        session.conf.set("spark.aiquery.config", json.dumps(config))
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


def test_07_killed_after_the_answers_sends_no_request_again(workload, delta, tmp_path, serve):
    import pyspark
    from processes import Commands
    from pyspark.sql.functions import col, expr

    jars = sorted((ROOT / ".cache" / "delta" / pyspark.__version__).glob("*.jar"))
    messages = [f"ticket {i}" + " very long" * 10 for i in range(80)]
    path = tmp_path / "tickets"
    rows = {"ticket_id": range(80), "message": messages, "sentiment": pa.nulls(80, pa.string())}
    deltalake.write_deltalake(path, pa.table(rows))
    server = serve(latency=0.05)
    endpoints = {SMALL: server.endpoint(hedge=False)}
    config = json.dumps({"endpoints": endpoints, "cache": {"store": str(tmp_path / "answers.sqlite")}})
    options = settings(config)
    delta_options = {
        "spark.master": "local[2]",
        "spark.jars": ",".join([options["spark.jars"], *map(str, jars)]),
        "spark.sql.extensions": f"{options['spark.sql.extensions']},io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalog.main": "org.apache.spark.sql.aiquery.LocalCatalog",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    commands = Commands(tmp_path, {**options, **delta_options})
    (file,) = WORKLOADS.glob("07_*")
    with commands.running(NIGHT, str(file), str(path)) as script:
        while server.calls < 80 or server.in_flight:
            assert script.poll() is None, commands.stderr.read_text()
            time.sleep(0.01)
        time.sleep(0.1)  # answers are written every 20 ms
    workload.session.conf.set("spark.aiquery.config", config)
    workload.session.sql("DROP TABLE IF EXISTS main.support.tickets")
    workload.session.sql(f"CREATE TABLE main.support.tickets USING delta LOCATION '{path}'")
    workload("07", col=col, expr=expr)
    assert server.calls == 80
    stored = deltalake.DeltaTable(path).to_pyarrow_table().sort_by("ticket_id")
    prompt = "Sentiment (POSITIVE/NEGATIVE/NEUTRAL): "
    expected = [f"echo: {prompt}{message}" for message in messages]
    assert stored["sentiment"].to_pylist() == expected


def test_update_on_spark_in_slices(workload, delta):
    create_tickets(workload, delta)
    options = {
        "set": "sentiment = ai_query('endpoint', message)",
        "key": "ticket_id",
        "where": "sentiment IS NULL AND length(message) > 50",
        "database": workload.session,
        "commit_every_rows": 30,
    }
    report = aiquery.update("main.support.tickets", **options)
    assert (report.updated, report.failed, report.left, report.commits) == (80, 0, 0, 3)
    second = aiquery.update("main.support.tickets", **options)
    assert (second.updated, second.commits) == (0, 0)
    assert workload.server.calls == 80


def test_update_on_spark_from_a_source_and_of_changed_rows(workload, delta):
    create_tickets(workload, delta)
    session = workload.session
    empty = session.range(0).selectExpr("id AS ticket_id", "'' AS message", "'' AS answer")
    delta("support.answered", empty)
    options = {
        "set": {"message": "message", "answer": "ai_query('endpoint', concat('Topic? ', message))"},
        "key": "ticket_id", "source": "main.support.tickets", "where": "length(message) > 50", "refresh_changed": True,
        "database": session,
    }  # fmt: skip
    assert aiquery.update("main.support.answered", **options).updated == 160
    assert aiquery.update("main.support.answered", **options).updated == 0
    session.sql("UPDATE main.support.tickets SET message = repeat('another ', 20) WHERE ticket_id IN (1, 2)")
    assert aiquery.update("main.support.answered", **options).updated == 2
    (row,) = session.sql("SELECT * FROM main.support.answered WHERE ticket_id = 2").collect()
    assert row.answer == "echo: Topic? " + "another " * 20
    with pytest.raises(aiquery.ArgumentError, match="does not exist"):
        aiquery.update("main.support.nothing", **options)


def test_08_count_alone_sends_no_request(workload, prompts):
    from pyspark.sql.functions import expr

    assert workload("08", df=prompts, expr=expr)["result_count"] == 200
    assert workload.server.calls == 0


def test_09_each_row_is_sent_once_to_each_model(workload):
    texts = [(f"{'poison' if i % 10 == 0 else 'good'} {i}",) for i in range(200)]
    df = workload.session.createDataFrame(texts, "prompt_text STRING").repartition(4)
    names = workload("09", df=df)
    assert names["successful"].count() == 180
    big = [q.prompt for q in workload.server.requests if q.body["model"] != "small"]
    assert sorted(big) == sorted(text for (text,) in texts)

    def answer_of_small_model(question):
        return "rescued" if question.body["model"] == "small" else Answer(status=400)

    workload.server.reply = answer_of_small_model
    assert [row.result_retry for row in names["retried"].collect()] == ["rescued"] * 20
    assert len(workload.server.requests) == 200 + 20


def test_10_two_hundred_partitions_share_one_limit(workload, prompts):
    from pyspark.sql.functions import expr

    optimized = workload("10", df=prompts, expr=expr)["optimized_df"]
    assert len(optimized.collect()) == 200
    assert workload.server.calls == 20


def test_11_one_call_per_distinct_prompt(workload, prompts):
    from pyspark.sql.functions import expr

    final = workload("11", df=prompts, expr=expr)["final_df"]
    assert len(final.collect()) == 200
    assert workload.server.calls == 20
    answered = prompts.withColumn("result", expr("ai_query('endpoint', prompt)"))
    assert len(answered.collect()) == 200
    assert workload.server.calls == 20


def test_a_merge_sends_each_request_once_although_it_reads_its_source_twice(workload, delta):
    session = workload.session
    rows = session.range(50).selectExpr("id", "CAST(NULL AS STRING) AS sentiment")
    delta("support.merged", rows)
    session.sql("""
        MERGE INTO main.support.merged t
        USING (SELECT id, ai_query('endpoint', 'merge ' || id) AS sentiment FROM range(25, 75)) s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET sentiment = s.sentiment WHEN NOT MATCHED THEN INSERT *
    """)
    rows = session.table("main.support.merged").collect()
    assert {row.id: row.sentiment for row in rows} == {i: f"echo: merge {i}" if i >= 25 else None for i in range(75)}
    assert workload.server.calls == 50


def test_a_constraint_with_a_call_is_rejected_when_it_is_created(workload, delta):
    session = workload.session
    delta("support.checked", session.range(3).selectExpr("id", "'text ' || id AS s"))
    with pytest.raises(AnalysisException, match="a CHECK constraint cannot call it"):
        session.sql("ALTER TABLE main.support.checked ADD CONSTRAINT good CHECK (ai_query('m', s) = 'x')")
    session.sql("INSERT INTO main.support.checked VALUES (3, 'text 3')")
    session.sql("ALTER TABLE main.support.checked ADD CONSTRAINT known CHECK (id >= 0)")
