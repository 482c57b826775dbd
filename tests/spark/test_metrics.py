"""The metrics in the Spark UI equal the counts of the endpoint, and the UI shows no secret."""

import json

import pytest

from aiquery.spark import settings

pytestmark = pytest.mark.spark
SECRET = "sk-quite-secret-4711"

SCRIPT = """
import json, sys, time, urllib.request
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.range(0, 300, 1, 3).selectExpr("id", "'row ' || id AS s").createOrReplaceTempView("t")
frame = spark.sql("SELECT id, TRY(ai_query('m', s)) AS a FROM t")
frame.explain("formatted")
frame.write.format("noop").mode("overwrite").save()
url = spark.sparkContext.uiWebUrl

def get(path):
    with urllib.request.urlopen(url + path) as answer:
        return answer.read().decode()

nodes = []
for _ in range(50):
    queries = json.loads(get(f"/api/v1/applications/{spark.sparkContext.applicationId}/sql?details=true"))
    nodes = [node for query in queries for node in query["nodes"] if node["nodeName"] == "AiQuery"]
    if nodes and queries[-1]["status"] == "COMPLETED":
        break
    time.sleep(0.2)
print("METRICS " + json.dumps({m["name"]: m["value"] for m in nodes[-1]["metrics"]}))
for page in ("/SQL/", "/SQL/execution/?id=0", "/environment/", "/jobs/", "/executors/"):
    print(get(page))
print(spark.conf.get("spark.aiquery.config"))
"""


def read_metrics(output):
    """Return the metrics of the node by label from the output of the script."""
    lines = output.splitlines()
    line = next(line for line in lines if line.startswith("METRICS "))
    return json.loads(line.removeprefix("METRICS "))


def read_counts(metrics):
    """Return the metrics that are plain numbers."""
    totals = {name: value.splitlines()[-1].split(" ")[0].replace(",", "") for name, value in metrics.items()}
    return {name: int(float(number)) for name, number in totals.items() if number.replace(".", "").isdigit()}


def test_the_ui_shows_the_counts_of_the_endpoint_and_no_secret(tmp_path, serve, monkeypatch):
    from processes import Commands

    from aiquery.testing import Answer

    def reply(question):
        if question.prompt.endswith("9"):
            return Answer(status=400, text="no")
        return Answer(text="four token answer")

    server = serve(reply, api_key=SECRET)
    monkeypatch.setenv("MY_KEY", SECRET)
    endpoint = server.endpoint(hedge=False, api_key_env="MY_KEY")
    store = {"store": str(tmp_path / "answers.sqlite")}
    config = {"endpoints": {"m": endpoint}, "cache": store}
    (tmp_path / "events").mkdir()
    options = {
        **settings(json.dumps(config)),
        "spark.master": "local[2]",
        "spark.ui.enabled": "true",
        "spark.ui.port": "0",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": str(tmp_path / "events"),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }
    output = Commands(tmp_path, options).python(SCRIPT)
    metrics = read_metrics(output)
    counts = read_counts(metrics)
    assert counts["calls"] == server.calls
    assert counts["failed rows"] == server.statuses[400] == 30
    assert counts["number of output rows"] == 300
    assert counts["tokens in"] == server.usage["prompt_tokens"]
    assert counts["tokens out"] == server.usage["completion_tokens"]
    assert "time waiting for the model" in metrics
    assert "cache hits" in metrics
    event_log = "".join(path.read_text(errors="replace") for path in (tmp_path / "events").iterdir() if path.is_file())
    assert "AiQuery" in event_log
    for text in (output, event_log):
        assert SECRET not in text
        assert "AIQUERY_COORDINATOR" not in text
