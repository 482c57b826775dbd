"""``aiquery.Embedding``: arrays, one request for many texts, and loops over single texts that are packed."""

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
        config = {
            "endpoints": {"e": endpoint},
            "cache": {"store": str(tmp_path / "answers.sqlite")},
        }
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
    assert server.calls == 1  # known


def test_a_loop_over_single_texts_is_asked_in_packs(embedding):
    server, embedder = embedding(deferred=True, max_batch_size=256)
    texts = [f"text {i}" for i in range(1000)]
    listed = [embedder.embed(text).tolist() for text in texts]
    assert server.calls == 0
    column = pa.array(pd.Series(listed), pa.list_(pa.float64()), from_pandas=True)
    assert server.calls <= 5
    assert np.array_equal(
        np.array(column.to_pylist(), np.float32), embedder.embed(texts)
    )


def test_what_is_deferred_is_as_good_as_an_array(embedding):
    _, embedder = embedding(deferred=True)
    now = embedder.embed(["x"])[0]
    later = embedder.embed("x")
    assert np.array_equal(later, now)
    assert np.array_equal(later * 2, now * 2)
    assert later.shape == now.shape
    assert later[0] == now[0]
    assert len(later) == len(now)
    assert list(later) == list(now)
    assert repr(later) == repr(now)
    assert np.array_equal(pickle.loads(pickle.dumps(later)), now)  # noqa: S301  our own
    assert later.tolist() == now.tolist()
    assert pickle.loads(pickle.dumps(later.tolist())) == now.tolist()  # noqa: S301  our own
    assert later.tolist()[:2] == now.tolist()[:2]


def test_many_are_asked_before_anybody_looks(embedding):
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


def test_a_vector_may_outlive_its_embedding(embedding):
    _, embedder = embedding(deferred=True)
    later = embedder.embed("x")
    del embedder
    assert len(later) > 0


def test_an_error_is_raised_where_the_vector_is_looked_at(embedding):
    _, embedder = embedding(lambda _: Answer(status=400), deferred=True)
    later = embedder.embed("x")
    with pytest.raises(RowError):
        later.tolist()[0]
    with pytest.raises(RowError):
        embedder.embed(["x"])


def test_what_is_no_text_is_refused(embedding):
    server, embedder = embedding()
    with pytest.raises(ArgumentError, match="number 1 is a NoneType"):
        embedder.embed(["a", None])
    assert embedder.embed([]).shape[0] == 0
    assert server.calls == 0
