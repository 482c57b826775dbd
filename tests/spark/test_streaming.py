"""A streaming query asks about what is new; a restart goes on where it was."""

import json

import pytest

pytestmark = pytest.mark.spark


def test_a_restarted_stream_asks_only_what_is_new(spark, tmp_path):
    sql = spark()
    source = tmp_path / "in"
    source.mkdir()

    def arrive(name, texts):
        (source / name).write_text(
            "\n".join(json.dumps({"s": text}) for text in texts), "utf-8"
        )

    def run():
        stream = (
            sql.session.readStream.schema("s STRING")
            .json(str(source))
            .selectExpr("s", "ai_query('m', s) AS a")
        )
        out = stream.writeStream.format("parquet").option("path", str(tmp_path / "out"))
        out.option("checkpointLocation", str(tmp_path / "at")).trigger(
            availableNow=True
        ).start().awaitTermination()
        return sorted(
            tuple(row)
            for row in sql.session.read.parquet(str(tmp_path / "out")).collect()
        )

    arrive("1.json", ["a", "b"])
    assert run() == [("a", "echo: a"), ("b", "echo: b")]
    arrive("2.json", ["c"])
    assert run() == [("a", "echo: a"), ("b", "echo: b"), ("c", "echo: c")]
    assert sql.server.calls == 3
