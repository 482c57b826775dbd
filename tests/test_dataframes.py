"""The functions on pandas, Polars and Arrow return a column of the same library, in the order of the frame."""

import inspect
import math

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import aiquery
from aiquery import functions

DATA = {"message": ["it crashes", None, "charged twice", "it crashes"], "lang": ["es", "fr", None, "de"]}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}

TEXTS = "Texts, one JSON string per line:\n"


def make_config(server, **defaults):
    endpoints = {"m": server.endpoint(), "e": server.endpoint(task="embedding")}
    return {"endpoints": endpoints, "defaults": {"chat": "m", "embedding": "e", **defaults}}


def to_list(column):
    """Return the values of a column, with None for NaN."""
    if isinstance(column, pa.ChunkedArray):
        return column.to_pylist()
    return [None if is_nan(value) else value for value in column]


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def find_library(value):
    return type(value).__module__.split(".")[0]


@pytest.mark.parametrize("kind", FRAMES)
def test_classify_returns_a_column_of_the_same_library(serve, kind):
    server = serve(lambda q: '{"label": "bug"}' if "crash" in q.prompt else '{"label": "billing"}')
    frame = FRAMES[kind](DATA)
    column = functions.classify(frame, "message", labels=["billing", "bug"], config=make_config(server))
    assert find_library(column) == find_library(frame)
    assert to_list(column) == ["bug", None, "billing", "bug"]
    assert server.calls == 2


def test_a_pandas_column_has_the_index_of_its_frame(serve):
    frame = pd.DataFrame(DATA, index=["a", "b", "c", "d"])
    frame["answer"] = functions.gen(frame, "message", config=make_config(serve()))
    assert frame.loc["c", "answer"] == "echo: charged twice"


@pytest.mark.parametrize("kind", FRAMES)
def test_a_text_that_is_not_a_column_is_the_value(serve, kind):
    server = serve()
    frame = FRAMES[kind](DATA)
    column = functions.translate(frame, "message", to_lang="es", config=make_config(server))
    assert to_list(column)[0] == "echo: Into Spanish: it crashes"
    per_row = functions.translate(frame, "message", to_lang=frame["lang"], config=make_config(server))
    assert to_list(per_row) == ["echo: Into Spanish: it crashes", None, None, "echo: Into German: it crashes"]


@pytest.mark.parametrize("kind", FRAMES)
def test_embeddings_and_aggregates(serve, kind):
    frame = FRAMES[kind]({"g": ["y", "x", "x"], "s": ["c", "b", "a"]})
    vectors = functions.embed(frame, "s", config=make_config(serve()))
    assert [len(vector) for vector in to_list(vectors)] == [8, 8, 8]
    server = serve()
    groups = functions.agg(frame, "s", instruction="What?", by="g", config=make_config(server))
    columns = groups.column_names if kind == "arrow" else groups.columns
    assert type(groups) is type(frame)
    assert list(columns) == ["g", "ai_agg"]
    assert to_list(groups["ai_agg"]) == [f'echo: {TEXTS}- "a"\n- "b"', f'echo: {TEXTS}- "c"']
    answer = functions.agg(frame, "s", instruction="What?", config=make_config(server))
    assert answer == f'echo: {TEXTS}- "a"\n- "b"\n- "c"'


def test_query_accepts_its_constants_by_name_in_snake_case(serve):
    server = serve(lambda _: '{"result": 4}')
    frame = pa.table(DATA)
    column = functions.query(frame, "message", endpoint="m", return_type="INT", model_parameters={"max_tokens": 9},
                             fail_on_error=False, config=make_config(server))  # fmt: skip
    assert column[0].as_py() == {"result": 4, "errorMessage": None}
    assert server.requests[0].body["max_tokens"] == 9


def test_labels_with_descriptions_are_version_2(serve):
    server = serve(lambda _: '{"label": "b"}')
    labels = {"a": "first", "b": "second"}
    column = functions.classify(pa.table(DATA), "message", labels=labels, config=make_config(server))
    assert column[0].as_py() == '{"response": ["b"], "error_message": null}'


WRONG_ARGUMENTS = [
    (functions.classify, ("text",), {"labels": ["a", "b"]}, "no column 'text'; it has 'message'"),
    (functions.classify, ("message",), {"labels": ["a"]}, "2 to 20 items, not 1"),
    (functions.classify, ("message",), {}, "labels"),
    (functions.gen, (), {}, "prompt is missing"),
    (functions.gen, ("message", "lang"), {}, "takes 1 columns"),
    (functions.gen, ("message",), {"label": ["a"]}, "'label' is not known"),
    (functions.gen, ("message",), {"by": "lang"}, "is not an aggregate"),
]  # fmt: skip


def test_wrong_arguments_are_rejected_by_name(serve):
    server = serve()
    frame = pa.table(DATA)
    for function, columns, arguments, problem in WRONG_ARGUMENTS:
        with pytest.raises(aiquery.ArgumentError, match=problem):
            function(frame, *columns, **arguments, config=make_config(server))
    assert server.calls == 0
    with pytest.raises(AttributeError, match="nothing"):
        functions.nothing  # noqa: B018


def test_signatures_and_names():
    assert str(inspect.signature(functions.similarity)).startswith("(frame, /, a, b, *, endpoint=None")
    assert {"classify", "query", "agg", "embed"} <= set(dir(functions))
    assert "labels" in functions.classify.__doc__


KEYS = {
    "pandas": lambda: pd.DataFrame({"k": pd.Categorical(["x", "y", "x"]), "t": pd.Categorical(["a", "b", "c"])}),
    "polars": lambda: pl.DataFrame(
        {"k": ["x", "y", "x"], "t": ["a", "b", "c"]}, schema_overrides={"k": pl.Categorical}
    ),
    "arrow": lambda: pa.table({"k": pa.array(["x", "y", "x"]).dictionary_encode(), "t": ["a", "b", "c"]}),
}


@pytest.mark.parametrize("kind", KEYS)
def test_categories_are_keys_and_texts(serve, kind):
    server = serve()
    groups = functions.agg(KEYS[kind](), "t", instruction="what?", by="k", config=make_config(server))
    assert to_list(groups["k"]) == ["x", "y"]
    assert sorted(server.prompts) == [f'{TEXTS}- "a"\n- "c"', f'{TEXTS}- "b"']


def test_a_key_may_have_any_name_except_that_of_the_answer(serve):
    options = {"instruction": "what?", "config": make_config(serve())}
    for name in ("_list", "texts", "key_0", ""):
        frame = pl.DataFrame({name: ["x", "y"], "t": ["a", "b"]})
        groups = functions.agg(frame, "t", by=name, **options)
        assert groups[name].to_list() == ["x", "y"]
    frame = pl.DataFrame({"ai_agg": ["x"], "t": ["a"]})
    with pytest.raises(aiquery.ArgumentError, match="rename that column"):
        functions.agg(frame, "t", by="ai_agg", **options)


@pytest.mark.parametrize(
    ("frame", "column", "problem"),
    [
        (pd.DataFrame({"t": pd.Series(["a", 1], dtype=object)}), "t", "values of several types"),
        (pd.DataFrame({0: ["a"]}), 0, "the name of a column, which is a text"),
    ],
)
def test_an_invalid_column_is_rejected_by_name(serve, frame, column, problem):
    with pytest.raises(aiquery.ArgumentError, match=problem):
        functions.query(frame, column, endpoint="m", config=make_config(serve()))


def test_a_lazy_frame_is_an_error_that_says_collect():
    lazy = pl.DataFrame({"t": ["a"], "k": [1]}).lazy()
    for call in (
        lambda: functions.query(lazy, "t", endpoint="m", config={}),
        lambda: functions.agg(lazy, "t", instruction="what?", by="k", config={}),
    ):
        with pytest.raises(
            aiquery.errors.ArgumentError, match=r"polars LazyFrame; it is computed later: pass frame\.collect\(\)"
        ):
            call()
    with pytest.raises(
        aiquery.errors.ArgumentError, match="builtins list; a pandas, Polars or Arrow frame is expected"
    ):
        functions.query(["a"], "t", endpoint="m", config={})
