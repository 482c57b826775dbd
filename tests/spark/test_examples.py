"""The Python examples run unchanged; the tests count their calls at the endpoint."""

from pathlib import Path

import pytest

from aiquery.testing import Answer

pytestmark = [
    pytest.mark.spark,
    # py4j: a Java object that Python collects in one of our threads is released over a new connection
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
EXAMPLES = Path(__file__).parents[2] / "examples" / "spark"


@pytest.fixture
def example(spark, tmp_path):
    """Return a function that runs an example and returns its names; ``example.server`` is the endpoint."""

    def reply(question):
        is_poisoned = "poison" in question.prompt
        if is_poisoned and question.body["model"] == "my-model":
            return Answer(status=400)
        return Answer()

    sql = spark(reply)
    endpoint = sql.endpoints["m"]
    named = {name: {**endpoint, "model": name} for name in ("my-model", "another-model")}
    named["my-embeddings"] = {**endpoint, "task": "embedding", "max_batch_size": 100}
    config = sql.config(endpoints=named, cache={"store": str(tmp_path / "answers.sqlite")})
    sql.session.conf.set("spark.aiquery.config", config)

    def run(name):
        names = {"spark": sql.session}
        exec(compile((EXAMPLES / name).read_text("utf-8"), name, "exec"), names)  # noqa: S102  an example of this project
        return names

    run.server = sql.server
    return run


def test_a_loop_over_single_texts_sends_batches(example):
    rows = example("embeddings.py")["rows"]
    assert len({tuple(row.embedding) for row in rows}) == 2000
    assert example.server.calls <= 2000 / 20


def test_only_failed_rows_go_to_another_model(example):
    names = example("failed_rows.py")
    expected = [f"echo: poison {i}" for i in range(0, 100, 10)]
    assert names["counts"] == (100, 10)
    assert sorted(row.answer for row in names["rows"]) == sorted(expected)
    assert example.server.calls == 100 + 10


def test_equal_prompts_are_one_call(example):
    assert len(example("repeated_prompts.py")["rows"]) == 1000
    assert example.server.calls == 20


def test_every_example_is_run():
    tests = Path(__file__).read_text("utf-8")
    assert all(f'"{path.name}"' in tests for path in EXAMPLES.iterdir())
