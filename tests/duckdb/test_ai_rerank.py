"""ai_rerank and ai_score: documents of one query share a request, and each gets its own score."""

import pytest

import aiquery
from aiquery.errors import ArgumentError, RowError
from aiquery.testing import Answer

DOCUMENTS = ["the pin of a card", "change the pin", "opening hours", "pin change at a machine"]


@pytest.fixture
def connect_rerank():
    opened = []

    def start(server, **settings):
        endpoint = server.endpoint(task="rerank", **settings)
        config = {"endpoints": {"r": endpoint}, "defaults": {"rerank": "r"}, "cache": {"store": "memory:"}}
        con = aiquery.connect(config=config)
        opened.append(con)
        con.execute("CREATE TABLE d AS SELECT unnest($1) AS s", [DOCUMENTS])
        return con

    yield start
    for con in opened:
        con.close()


def test_documents_of_a_query_share_a_request_and_keep_their_own_scores(serve, connect_rerank):
    server = serve()
    con = connect_rerank(server)
    rows = con.sql("SELECT s, ai_rerank('change pin', s) AS score FROM d ORDER BY score DESC, s").fetchall()
    assert rows == [
        ("change the pin", 1.0),
        ("pin change at a machine", 1.0),
        ("the pin of a card", 0.5),
        ("opening hours", 0.0),
    ]
    (question,) = server.requests
    assert question.path == "/v1/rerank"
    assert sorted(question.body["documents"]) == sorted(DOCUMENTS)
    assert question.body["query"] == "change pin"


def test_each_query_has_its_own_request_and_equal_pairs_are_asked_once(serve, connect_rerank):
    server = serve()
    con = connect_rerank(server)
    con.sql("SELECT ai_rerank(q, s) FROM d, (VALUES ('pin'), ('hours'), ('pin'), (NULL)) v(q)")
    assert sorted(question.body["query"] for question in server.requests) == ["hours", "pin"]
    con.sql("SELECT ai_rerank('pin', s) FROM d")
    assert server.calls == 2


def test_the_size_of_a_request_is_bounded(serve, connect_rerank):
    server = serve()
    connect_rerank(server, max_batch_size=3).sql("SELECT ai_rerank('pin', s) FROM d")
    assert sorted(len(question.body["documents"]) for question in server.requests) == [1, 3]


def test_a_null_gives_null(serve, connect_rerank):
    con = connect_rerank(serve())
    assert con.sql("SELECT ai_rerank(NULL, 'a'), ai_rerank('a', NULL::VARCHAR)").fetchall() == [(None, None)]


def test_the_column_is_a_float(serve, connect_rerank):
    relation = connect_rerank(serve()).sql("SELECT ai_rerank('pin', s) FROM d")
    assert [str(kind) for kind in relation.types] == ["FLOAT"]


REPLIES = {
    "cohere": '{"id": "x", "results": [{"index": 1, "relevance_score": 0.25}, {"index": 0, "relevance_score": 0.75}],'
    '"meta": {"billed_units": {"search_units": 1}}}',
    "jina": '{"model": "m", "usage": {"total_tokens": 9}, "results": [{"index": 0, "relevance_score": 0.75,'
    '"document": {"text": "a"}}, {"index": 1, "relevance_score": 0.25}]}',
    "voyage": '{"object": "list", "data": [{"relevance_score": 0.75, "index": 0}, {"relevance_score": 0.25,'
    '"index": 1}], "usage": {"total_tokens": 26}}',
    "tei": '[{"index": 0, "score": 0.75}, {"index": 1, "score": 0.25}]',
}


@pytest.mark.parametrize("form", REPLIES)
def test_the_replies_of_the_vendors_are_read(serve, connect_rerank, form):
    server = serve(lambda _: Answer(body=REPLIES[form].encode()))
    options = {"rerank_form": "tei"} if form == "tei" else {}
    con = connect_rerank(server, options=options)
    rows = con.sql("SELECT ai_rerank('q', s) FROM (VALUES ('aa'), ('bbb')) t(s)").fetchall()
    assert sorted(row[0] for row in rows) == [0.25, 0.75]
    sent = server.requests[0].body
    assert set(sent) == ({"query", "texts"} if form == "tei" else {"model", "query", "documents"})


@pytest.mark.parametrize(
    "reply",
    [
        '{"results": []}',
        '{"results": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 2}]}',
        '{"results": [{"index": 7, "relevance_score": 1}, {"index": 1, "relevance_score": 1}]}',
        '{"results": [{"index": 0}, {"index": 1}]}',
    ],
)
def test_a_reply_without_every_score_is_an_error_of_its_rows(serve, connect_rerank, reply):
    con = connect_rerank(serve(lambda _: Answer(body=reply.encode())), max_attempts=1)
    with pytest.raises(RowError, match="scores for"):
        con.sql("SELECT ai_rerank('q', s) FROM (VALUES ('aa'), ('bbb')) t(s)")


def test_a_chat_endpoint_is_refused_and_a_missing_default_says_what_to_set(serve):
    server = serve()
    with aiquery.connect(config={"endpoints": {"m": server.endpoint()}}) as con:
        with pytest.raises(ArgumentError, match="task = 'rerank'"):
            con.sql("SELECT ai_rerank('q', 's', endpoint => 'm')")
        with pytest.raises(ArgumentError, match=r"\[defaults\] rerank"):
            con.sql("SELECT ai_rerank('q', 's')")
    assert server.calls == 0


def test_ai_score_rates_by_a_prompt(serve):
    server = serve(lambda question: Answer(text=f'{{"result": {len(question.prompt)}.5}}'))
    config = {"endpoints": {"m": server.endpoint()}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        relation = con.sql("SELECT ai_score('Rate: ' || s) AS score FROM (VALUES ('ab'), ('abcd')) t(s) ORDER BY score")
        assert [str(kind) for kind in relation.types] == ["DOUBLE"]
        assert relation.fetchall() == [(8.5,), (10.5,)]
