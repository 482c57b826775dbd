"""``aiquery.Embedding``: arrays, batches of texts, and loops over single texts that send batches."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import aiquery
from aiquery import ArgumentError, RowError
from aiquery.testing import Answer


@pytest.fixture
def embedding(serve, tmp_path):
    def make(reply=None, deferred=None, **settings):
        server = serve(reply)
        endpoint = server.endpoint(task="embedding", hedge=False, **settings)
        config = {"endpoints": {"e": endpoint}, "cache": {"store": str(tmp_path / "answers.sqlite")}}
        return server, aiquery.Embedding(endpoint="e", config=config, deferred=deferred)

    return make


def test_a_text_is_a_vector_and_texts_are_the_rows_of_an_array(embedding):
    server, embedder = embedding()
    rows = embedder.embed(["a", "b", "c"])
    assert rows.dtype == np.float32
    assert rows.shape[0] == 3
    assert server.calls == 1
    one = embedder.embed("b")
    assert isinstance(one, np.ndarray)
    assert np.array_equal(one, rows[1])
    assert server.calls == 1  # a cache hit


def test_a_loop_over_single_texts_sends_batches(embedding):
    server, embedder = embedding(deferred=True, max_batch_size=256)
    texts = [f"text {i}" for i in range(1000)]
    lists = [embedder.embed(text).tolist() for text in texts]
    assert server.calls == 0
    column = pa.array(pd.Series(lists), pa.list_(pa.float64()), from_pandas=True)
    vectors = np.array(column.to_pylist(), np.float32)
    assert server.calls <= 5
    assert np.array_equal(vectors, embedder.embed(texts))


def test_a_deferred_vector_behaves_like_an_array(embedding):
    _, embedder = embedding(deferred=True)
    vector = embedder.embed(["x"])[0]
    deferred = embedder.embed("x")
    assert np.array_equal(deferred, vector)
    assert np.array_equal(deferred * 2, vector * 2)
    assert deferred.shape == vector.shape
    assert deferred[0] == vector[0]
    assert len(deferred) == len(vector)
    assert list(deferred) == list(vector)
    assert repr(deferred) == repr(vector)
    pickled = pickle.dumps(deferred)
    assert np.array_equal(pickle.loads(pickled), vector)  # noqa: S301  pickled by the test
    assert deferred.tolist() == vector.tolist()
    pickled = pickle.dumps(deferred.tolist())
    assert pickle.loads(pickled) == vector.tolist()  # noqa: S301  pickled by the test
    assert deferred.tolist()[:2] == vector.tolist()[:2]


def test_deferred_texts_are_sent_in_batches_when_one_vector_is_read(embedding):
    server, embedder = embedding(deferred=True, max_batch_size=512)
    vectors = [embedder.embed(f"text {i}") for i in range(2048)]
    vectors[0].tolist()[0]
    assert server.calls == 4


def test_texts_beyond_the_limit_are_cut_and_counted(embedding):
    def reply(question):
        longest = max(map(len, question.texts))
        message = f"This model's maximum context length is 100 tokens, however you requested {longest} tokens"
        return Answer(status=400, text=message) if longest > 100 else Answer()

    _, embedder = embedding(reply)
    assert embedder.truncated == 0
    assert len(embedder.embed(["short", "long " * 200])) == 2
    assert embedder.truncated == 1


def test_a_deferred_vector_may_outlive_its_embedding(embedding):
    _, embedder = embedding(deferred=True)
    deferred = embedder.embed("x")
    del embedder
    assert len(deferred) > 0


def test_an_error_is_raised_when_a_deferred_vector_is_read(embedding):
    _, embedder = embedding(lambda _: Answer(status=400), deferred=True)
    deferred = embedder.embed("x")
    with pytest.raises(RowError):
        deferred.tolist()[0]
    with pytest.raises(RowError):
        embedder.embed(["x"])


def test_a_value_that_is_not_a_text_is_rejected(embedding):
    server, embedder = embedding()
    with pytest.raises(ArgumentError, match="number 1 is a NoneType"):
        embedder.embed(["a", None])
    assert embedder.embed([]).shape[0] == 0
    assert server.calls == 0
