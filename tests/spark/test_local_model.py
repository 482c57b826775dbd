"""The model in the process of Spark's workers: labels, embeddings, and one copy per process."""

import json

import pytest

pytestmark = [pytest.mark.spark, pytest.mark.local_model]
CONFIG = {
    "endpoints": {"databricks-bge-large-en": {"provider": "local", "model": "all-minilm-l6-v2"}},
    "cache": {"store": "memory:"},
}


@pytest.fixture
def local(session):
    session.conf.set("spark.aiquery.config", json.dumps(CONFIG))
    yield session
    session.conf.unset("spark.aiquery.config")


def test_labels_and_vectors_are_those_of_duckdb(local):
    import aiquery

    texts = ["I love it, thank you!", "The app crashes again.", "The shop opens at nine."]
    calls = "ai_classify(s, ARRAY('praise', 'bug', 'opening hours')) AS label, ai_similarity(s, 'an error') AS near"
    frame = local.createDataFrame([(text,) for text in texts], "s STRING").repartition(2)
    frame.createOrReplaceTempView("texts")
    on_spark = sorted(tuple(row) for row in local.sql(f"SELECT s, {calls} FROM texts").collect())
    with aiquery.connect(config=CONFIG) as con:
        con.execute("CREATE TABLE texts AS SELECT unnest($1) AS s", [texts])
        on_duckdb = sorted(con.sql(f"SELECT s, {calls} FROM texts", dialect="databricks").fetchall())
    assert [row[:2] for row in on_spark] == [row[:2] for row in on_duckdb]
    assert [row[2] for row in on_spark] == pytest.approx([row[2] for row in on_duckdb], abs=1e-5)


def test_a_worker_process_loads_a_model_once(local):
    from pyspark.sql.functions import pandas_udf

    frame = local.range(0, 40, 1, 4).selectExpr("id", "ai_embed('text ' || id) AS v", "'text ' || id AS s")

    @pandas_udf("string")
    def count_models(texts):
        import os

        import pandas as pd

        from aiquery import Embedding
        from aiquery.providers.local.shared_model import list_loaded

        Embedding("databricks-bge-large-en").embed(list(texts))
        names = [f"{os.getpid()} {settings.path.name}" for settings in list_loaded()]
        return pd.Series([",".join(names)] * len(texts))

    rows = frame.select("v", count_models("s").alias("models")).collect()
    assert {len(row.v) for row in rows} == {384}
    for row in rows:
        models = row.models.split(",")
        assert len(models) == len(set(models)) == 1
