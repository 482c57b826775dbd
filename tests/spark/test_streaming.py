"""A streaming query sends requests of new rows only, also after a restart."""

import json

import pytest

pytestmark = pytest.mark.spark


def test_a_restarted_stream_sends_requests_of_new_rows_only(spark, tmp_path):
    sql = spark()
    source = tmp_path / "in"
    source.mkdir()

    def add_file(name, texts):
        lines = [json.dumps({"s": text}) for text in texts]
        (source / name).write_text("\n".join(lines), "utf-8")

    def run():
        stream = sql.session.readStream.schema("s STRING").json(str(source)).selectExpr("s", "ai_query('m', s) AS a")
        output = str(tmp_path / "out")
        writer = stream.writeStream.format("parquet").option("path", output)
        writer = writer.option("checkpointLocation", str(tmp_path / "at"))
        writer.trigger(availableNow=True).start().awaitTermination()
        rows = sql.session.read.parquet(output).collect()
        return sorted(tuple(row) for row in rows)

    add_file("1.json", ["a", "b"])
    assert run() == [("a", "echo: a"), ("b", "echo: b")]
    add_file("2.json", ["c"])
    assert run() == [("a", "echo: a"), ("b", "echo: b"), ("c", "echo: c")]
    assert sql.server.calls == 3
