"""What a hostile model or server replies costs little time, ends in short errors, and gives no credit."""

import json
import time

import pytest

import aiquery
from aiquery.errors import ReplyParseError
from aiquery.requests.json_schema import build_validator
from aiquery.requests.parsing import JSONParser, TypedParser, read_json, strip_fence
from aiquery.requests.request import Response
from aiquery.requests.sql_types import parse_ddl
from aiquery.testing import Answer

MEGABYTE = 2**20
WORST = {
    "an open fence and blanks": "```\n" + " " * MEGABYTE + "x",
    "a fence after blanks": " " * MEGABYTE + "```\n{}",
    "only line breaks": "```json" + "\n" * MEGABYTE + "x",
    "fences": "```\n" * (MEGABYTE // 4),
    "backticks": "`" * MEGABYTE,
    "a language without end": "```" + "a" * MEGABYTE,
    "a language of blanks": "```" + " \t" * (MEGABYTE // 2) + "x```",
}


@pytest.mark.parametrize("name", WORST)
def test_a_megabyte_of_the_worst_text_is_read_in_proportion_to_its_length(name):
    """A quadratic reader took 25 minutes."""
    started = time.process_time()
    strip_fence(WORST[name])
    with pytest.raises(ReplyParseError):
        read_json(WORST[name])
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("```json\n{}\n```", "{}"),
        ("  ```\n{}```  \n", "{}"),
        ("```JSON-5 \t\n\n {} \n\n ```", "{}"),
        ("```\n```", ""),
        ("```json\n```\n```", "```"),
        ("```a b\n{}\n```", None),
        ("```json {}```", None),
        ("```\n{}", None),
        ("text ```\n{}\n```", None),
        ("```", None),
    ],
)
def test_the_content_of_a_fence(text, content):
    assert strip_fence(text) == (text if content is None else content)


HUGE = "q" * 5_000_000
REPLIES = {
    "BOOLEAN": {"result": HUGE},
    "MAP<STRING, INT>": {"result": {HUGE: "x"}},
    "BIGINT": {"result": "9" * 4000},
    "STRUCT<a: INT>": {HUGE: 1},
    "ARRAY<DATE>": {"result": [HUGE]},
    "DECIMAL(38, 2)": {"result": HUGE},
}


@pytest.mark.parametrize("ddl", REPLIES)
def test_the_error_of_a_huge_reply_is_short(ddl):
    with pytest.raises(ReplyParseError) as error:
        TypedParser(parse_ddl(ddl)).read(Response(text=json.dumps(REPLIES[ddl])), None)
    assert len(str(error.value)) < 1300


def test_the_error_of_a_huge_reply_that_violates_a_schema_is_short():
    schema = {"type": "object", "additionalProperties": False}
    assert build_validator(schema).is_valid({})
    with pytest.raises(ReplyParseError) as error:
        JSONParser(schema).read(Response(text=json.dumps({HUGE: HUGE})), None)
    assert len(str(error.value)) < 1300


@pytest.mark.parametrize("tokens", [-1, -1_000_000, -(2**62)])
def test_negative_tokens_give_a_budget_no_credit(serve, tokens):
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": tokens}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}
    liar = serve(lambda _: Answer(body=json.dumps({"choices": [choice], "usage": usage}).encode()))
    honest = serve()

    def count_calls(*, with_liar):
        price = {"input": 1.0, "output": 1.0}
        endpoints = {
            name: server.endpoint(max_tokens=5, max_concurrency=1, price=price)
            for name, server in (("liar", liar), ("honest", honest))
        }
        before = honest.calls
        config = {"endpoints": endpoints, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config, budget={"max_cost_usd": 0.0005, "on_budget": "null"}) as con:
            if with_liar:
                assert con.sql("SELECT ai_query('liar', 'a')").fetchall() == [("fine",)]
                assert con.ledger.totals["liar"].cost_usd == 0
            con.sql(f"SELECT ai_query('honest', 'x{int(with_liar)}' || i) FROM range(100) r(i)")
        return honest.calls - before

    alone = count_calls(with_liar=False)
    assert 0 < alone < 100
    # Its tokens are not known, so the budget counts the most that they may have cost.
    assert 0 < count_calls(with_liar=True) < alone


@pytest.mark.parametrize("tokens", [10**9, 2**63, 10**40, 10**400])
def test_an_impossible_number_of_tokens_stops_no_statement_and_no_history(serve, tmp_path, tokens):
    """With 60,000 tokens per minute, a request of 1,000,000,000 tokens would hold the next one up for 11 days."""
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": tokens, "completion_tokens": 1}
    liar = serve(lambda _: Answer(body=json.dumps({"choices": [choice], "usage": usage}).encode()))
    endpoint = {"base_url": liar.base_url, "tokens_per_minute": 60_000, "max_tokens": 10, "max_concurrency": 1}
    endpoint["price"] = {"input": 1, "output": 1}
    config = {"endpoints": {"m": endpoint}, "runs": {"store": str(tmp_path / "runs.sqlite")}}
    with aiquery.connect(config=config | {"cache": {"store": "memory:"}}) as con:
        rows = con.sql("SELECT ai_query('m', 'q' || i) FROM range(3) t(i)").fetchall()
        assert rows == [("yes",)] * 3
        tokens_in = con.sql("SELECT tokens_in FROM aiquery_runs()").fetchall()[0][0]
    assert 0 <= tokens_in <= 3 * 20_000
