"""The functions on pandas, Polars and Arrow: a column of the frame's own kind, in its order."""

import inspect

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import aiquery
from aiquery import functions

DATA = {
    "message": ["it crashes", None, "charged twice", "it crashes"],
    "lang": ["es", "fr", None, "de"],
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.table}


def config(server, **defaults):
    endpoints = {"m": server.endpoint(), "e": server.endpoint(task="embedding")}
    return {
        "endpoints": endpoints,
        "defaults": {"chat": "m", "embedding": "e", **defaults},
    }


def values(column):
    found = column.to_pylist() if isinstance(column, pa.ChunkedArray) else list(column)
    return [
        None if isinstance(value, float) and value != value else value  # noqa: PLR0124  NaN is not equal to itself
        for value in found
    ]


@pytest.mark.parametrize("kind", FRAMES)
def test_classify_gives_a_column_of_the_same_library(serve, kind):
    server = serve(
        lambda q: '{"label": "bug"}' if "crash" in q.prompt else '{"label": "billing"}'
    )
    frame = FRAMES[kind](DATA)
    column = functions.classify(
        frame, "message", labels=["billing", "bug"], config=config(server)
    )
    assert type(column).__module__.split(".")[0] == type(frame).__module__.split(".")[0]
    assert values(column) == ["bug", None, "billing", "bug"]
    assert server.calls == 2


def test_pandas_keeps_its_index(serve):
    frame = pd.DataFrame(DATA, index=["a", "b", "c", "d"])
    frame["answer"] = functions.gen(frame, "message", config=config(serve()))
    assert frame.loc["c", "answer"] == "echo: charged twice"


@pytest.mark.parametrize("kind", FRAMES)
def test_a_text_is_the_value_itself_where_it_is_no_column(serve, kind):
    server = serve()
    frame = FRAMES[kind](DATA)
    column = functions.translate(frame, "message", to_lang="es", config=config(server))
    assert values(column)[0] == "echo: Into Spanish: it crashes"
    per_row = functions.translate(
        frame, "message", to_lang=frame["lang"], config=config(server)
    )
    assert values(per_row) == [
        "echo: Into Spanish: it crashes",
        None,
        None,
        "echo: Into German: it crashes",
    ]


@pytest.mark.parametrize("kind", FRAMES)
def test_embeddings_and_aggregates(serve, kind):
    frame = FRAMES[kind]({"g": ["y", "x", "x"], "s": ["c", "b", "a"]})
    vectors = functions.embed(frame, "s", config=config(serve()))
    assert [len(vector) for vector in values(vectors)] == [8, 8, 8]
    server = serve()
    groups = functions.agg(
        frame, "s", instruction="What?", by="g", config=config(server)
    )
    assert type(groups) is type(frame)
    assert [  # noqa: C416
        name for name in (groups.column_names if kind == "arrow" else groups.columns)
    ] == ["g", "ai_agg"]
    assert values(groups["ai_agg"]) == ["echo: Texts:\n- a\n- b", "echo: Texts:\n- c"]
    assert (
        functions.agg(frame, "s", instruction="What?", config=config(server))
        == "echo: Texts:\n- a\n- b\n- c"
    )


def test_query_takes_its_constants_by_name_in_snake_case(serve):
    server = serve(lambda _: '{"result": 4}')
    frame = pa.table(DATA)
    column = functions.query(frame, "message", endpoint="m", return_type="INT", model_parameters={"max_tokens": 9},
                             fail_on_error=False, config=config(server))  # fmt: skip
    assert column[0].as_py() == {"result": 4, "errorMessage": None}
    assert server.requests[0].body["max_tokens"] == 9


def test_labels_with_meanings_are_version_2(serve):
    column = functions.classify(pa.table(DATA), "message", labels={"a": "first", "b": "second"},
                                config=config(serve(lambda _: '{"label": "b"}')))  # fmt: skip
    assert column[0].as_py() == '{"response": ["b"], "error_message": null}'


def test_wrong_arguments_are_refused_by_name(serve):
    server = serve()
    frame = pa.table(DATA)
    given = config(server)
    for call, problem in {
        lambda: functions.classify(
            frame, "text", labels=["a", "b"], config=given
        ): "no column 'text'; it has 'message'",
        lambda: functions.classify(
            frame, "message", labels=["a"], config=given
        ): "2 to 20 items, not 1",
        lambda: functions.classify(frame, "message", config=given): "labels",
        lambda: functions.gen(frame, config=given): "prompt is missing",
        lambda: functions.gen(
            frame, "message", "lang", config=given
        ): "takes 1 columns",
        lambda: functions.gen(
            frame, "message", label=["a"], config=given
        ): "'label' is not known",
        lambda: functions.gen(
            frame, "message", by="lang", config=given
        ): "is not an aggregate",
    }.items():
        with pytest.raises(aiquery.ArgumentError, match=problem):
            call()
    assert server.calls == 0
    with pytest.raises(AttributeError, match="nothing"):
        functions.nothing  # noqa: B018


def test_signatures_and_names():
    assert str(inspect.signature(functions.similarity)).startswith(
        "(frame, /, a, b, *, endpoint=None"
    )
    assert {"classify", "query", "agg", "embed"} <= set(dir(functions))
    assert "labels" in functions.classify.__doc__


KEYS = {
    "pandas": lambda: pd.DataFrame(
        {"k": pd.Categorical(["x", "y", "x"]), "t": pd.Categorical(["a", "b", "c"])}
    ),
    "polars": lambda: pl.DataFrame(
        {"k": ["x", "y", "x"], "t": ["a", "b", "c"]},
        schema_overrides={"k": pl.Categorical},
    ),
    "arrow": lambda: pa.table(
        {"k": pa.array(["x", "y", "x"]).dictionary_encode(), "t": ["a", "b", "c"]}
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_categories_are_keys_and_texts(serve, kind):
    server = serve()
    found = functions.agg(
        KEYS[kind](), "t", instruction="what?", by="k", config=config(server)
    )
    assert values(found["k"]) == ["x", "y"]
    assert sorted(server.prompts) == ["Texts:\n- a\n- c", "Texts:\n- b"]


def test_a_key_may_have_any_name_but_the_answer_s(serve):
    for name in ("_list", "texts", "key_0", ""):
        found = functions.agg(
            pl.DataFrame({name: ["x", "y"], "t": ["a", "b"]}),
            "t",
            instruction="what?",
            by=name,
            config=config(serve()),
        )
        assert found[name].to_list() == ["x", "y"]
    with pytest.raises(aiquery.ArgumentError, match="rename that column"):
        functions.agg(
            pl.DataFrame({"ai_agg": ["x"], "t": ["a"]}),
            "t",
            instruction="?",
            by="ai_agg",
            config=config(serve()),
        )


@pytest.mark.parametrize(
    ("frame", "column", "problem"),
    [
        (
            pd.DataFrame({"t": pd.Series(["a", 1], dtype=object)}),
            "t",
            "values of several types",
        ),
        (pd.DataFrame({0: ["a"]}), 0, "the name of a column, which is a text"),
    ],
)
def test_a_column_that_is_none_is_refused_by_name(serve, frame, column, problem):
    with pytest.raises(aiquery.ArgumentError, match=problem):
        functions.query(frame, column, endpoint="m", config=config(serve()))
