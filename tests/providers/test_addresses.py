"""The base_url as users write it: with and without /v1, with a query, with the whole path."""

import pytest
from yarl import URL

import aiquery
from aiquery.errors import AIQueryError
from aiquery.providers.http.addresses import build_tokenize_url, build_url
from aiquery.testing import Answer

CHAT = {
    "http://h/v1": "http://h/v1/chat/completions",
    "http://h/v1/": "http://h/v1/chat/completions",
    "http://h/v1/chat/completions": "http://h/v1/chat/completions",
    "http://h/v1/embeddings": "http://h/v1/chat/completions",
    "http://h/v1/chat/completions/?api-version=2": "http://h/v1/chat/completions?api-version=2",
    "https://h/openai/deployments/gpt%204?api-version=2024-10-21": (
        "https://h/openai/deployments/gpt%204/chat/completions?api-version=2024-10-21"
    ),
    "http://h/a%2Fb/v1?x=a%26b&y=c+d": "http://h/a%2Fb/v1/chat/completions?x=a%26b&y=c+d",
    "https://h:8443/serving-endpoints": "https://h:8443/serving-endpoints/chat/completions",
}


@pytest.mark.parametrize("base_url", CHAT)
def test_the_path_of_a_method_is_added_once_and_a_query_stays(base_url):
    assert build_url(URL(base_url), "chat/completions") == CHAT[base_url]


def test_the_address_that_counts_tokens_is_beside_the_version():
    assert build_tokenize_url(URL("http://h/v1")) == "http://h/tokenize"
    assert build_tokenize_url(URL("http://h/models/v1/chat/completions?k=1")) == "http://h/models/tokenize?k=1"


def ask(server, base_url, sql="SELECT ai_query('m', 'q' || i) FROM range(30) t(i)", **settings):
    endpoint = {"base_url": base_url, "hedge": False, **settings}
    config = {"endpoints": {"m": endpoint}, "defaults": {"embedding": "m"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        return con.sql(sql).fetchall()


@pytest.mark.parametrize("root", ["/v1", ""])
def test_a_base_url_without_a_path_finds_the_server_with_one_request(serve, root):
    """vLLM and most servers answer at /v1 only; some have no version in their paths."""
    server = serve(lambda q: Answer() if q.path == f"{root}/chat/completions" else Answer(status=404, text="Not Found"))
    assert len(ask(server, server.base_url.removesuffix("/v1"))) == 30
    assert server.statuses == ({200: 30, 404: 1} if root else {200: 30})


def test_embeddings_find_it_too(serve):
    server = serve(lambda q: Answer() if q.path == "/v1/embeddings" else Answer(status=404, text="Not Found"))
    sql = "SELECT len(ai_embed('t' || i)) FROM range(300) t(i)"
    assert ask(server, server.base_url.removesuffix("/v1"), sql, task="embedding") == [(8,)] * 300
    assert server.statuses[404] == 1


def test_a_query_is_sent_with_each_request(serve):
    server = serve()
    ask(server, f"{server.base_url}?api-version=7")
    assert {question.path for question in server.requests} == {"/v1/chat/completions?api-version=7"}


def test_a_model_that_does_not_exist_is_no_missing_path(serve):
    server = serve(lambda _: Answer(status=404, text="The model `m` does not exist."))
    with pytest.raises(AIQueryError, match="The model `m` does not exist"):
        ask(server, server.base_url.removesuffix("/v1"))
    assert {question.path for question in server.requests} == {"/chat/completions"}
