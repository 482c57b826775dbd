"""Costs are those of the vendors' own arithmetic, worked out by hand from their pages and the usage of a reply."""

import json

import pytest

import aiquery
from aiquery.config.catalogs import prices, vendors
from aiquery.config.endpoint import Price
from aiquery.config.settings import Config
from aiquery.providers.anthropic import Messages, read_message
from aiquery.providers.bedrock.messages import Converse, read_converse
from aiquery.providers.gemini.replies import Generated, read_generated
from aiquery.providers.openai.chat_completions import Chat, read_chat
from aiquery.providers.openai.responses import Responses, read_responses

CHAT = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
OPENAI = {"input": 1.25, "cached_input": 0.125, "output": 10.0}
CLAUDE = {"input": 3.0, "cached_input": 0.3, "cache_write": 3.75, "output": 15.0}
FLASH = {"input": 0.75, "cached_input": 0.075, "output": 3.75}
EXAMPLES = {  # the reply's usage, the price per million tokens, and the cost of a million of such replies in USD
    "OpenAI: cached tokens are part of the prompt, reasoning is part of the answer": (
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 192},
        },
        OPENAI,
        86 * 1.25 + 1920 * 0.125 + 300 * 10,
    ),
    "OpenAI, Responses": (
        {
            "input_tokens": 2006,
            "input_tokens_details": {"cached_tokens": 1920},
            "output_tokens": 300,
            "output_tokens_details": {"reasoning_tokens": 192},
            "total_tokens": 2306,
        },
        OPENAI,
        86 * 1.25 + 1920 * 0.125 + 300 * 10,
    ),
    "DeepSeek: hits and misses": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "total_tokens": 1050,
            "prompt_cache_hit_tokens": 768,
            "prompt_cache_miss_tokens": 232,
        },
        {"input": 0.28, "cached_input": 0.028, "output": 0.42},
        232 * 0.28 + 768 * 0.028 + 50 * 0.42,
    ),
    "xAI: reasoning is beside the answer, and billed": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        {"input": 3.0, "output": 15.0},
        32 * 3 + 103 * 15,
    ),
    "OpenRouter: writes of Anthropic's cache": (
        {
            "prompt_tokens": 3000,
            "completion_tokens": 10,
            "total_tokens": 3010,
            "prompt_tokens_details": {"cached_tokens": 500, "cache_write_tokens": 2000},
        },
        CLAUDE,
        500 * 3 + 500 * 0.3 + 2000 * 3.75 + 10 * 15,
    ),
    "Anthropic: cache reads and writes are beside the input": (
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 100_000,
            "cache_creation_input_tokens": 248,
            "output_tokens": 503,
        },
        CLAUDE,
        50 * 3 + 100_000 * 0.3 + 248 * 3.75 + 503 * 15,
    ),
    "Bedrock: cache reads and writes are beside the input": (
        {
            "inputTokens": 50,
            "cacheReadInputTokens": 1200,
            "cacheWriteInputTokens": 248,
            "outputTokens": 503,
            "totalTokens": 2001,
        },
        CLAUDE,
        50 * 3 + 1200 * 0.3 + 248 * 3.75 + 503 * 15,
    ),
    "Gemini: cached tokens are part of the prompt, thoughts are beside the answer": (
        {
            "promptTokenCount": 6000,
            "cachedContentTokenCount": 4000,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 300,
            "totalTokenCount": 6320,
        },
        FLASH,
        2000 * 0.75 + 4000 * 0.075 + 320 * 3.75,
    ),
}


def read(name, usage):
    if name.startswith("Anthropic"):
        reply = {"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": usage}
        return read_message(convert(reply, Messages), uses_tool=False)
    if name.startswith("Bedrock"):
        reply = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn", "usage": usage}
        return read_converse(convert(reply, Converse))
    if name.startswith("Gemini"):
        candidate = {"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}
        return read_generated(convert({"candidates": [candidate], "usageMetadata": usage}, Generated))
    if name.endswith("Responses"):
        output = [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]
        return read_responses(convert({"output": output, "status": "completed", "usage": usage}, Responses))
    return read_chat(convert({**CHAT, "usage": usage}, Chat))


def convert(reply, form):
    import msgspec

    return msgspec.json.decode(json.dumps(reply), type=form)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_cost_of_a_reply_is_that_of_the_vendor(name):
    usage, price, millions = EXAMPLES[name]
    counted = read(name, usage).usage
    cost = Price(**price).cost_usd(counted.tokens_in, counted.tokens_cached, counted.tokens_out, counted.tokens_written)
    assert cost * 1e6 == pytest.approx(millions)


def test_a_bound_of_the_cost_counts_that_every_token_may_be_written_to_the_cache():
    assert Price(**CLAUDE).highest_usd(1000, 10) == pytest.approx((1000 * 3.75 + 10 * 15) / 1e6)
    assert Price(**OPENAI).highest_usd(1000, 10) == pytest.approx((1000 * 1.25 + 10 * 10) / 1e6)
    assert Price(input=2.0, cache_write=1.0).highest_usd(1000, 0) == pytest.approx(1000 * 2.0 / 1e6)


def test_each_price_list_is_that_of_a_vendor_and_has_a_date():
    for vendor, listed in prices().items():
        assert vendor in vendors()
        assert listed["as_of"] >= "2025"
        for price in listed["models"].values():
            Price(**price)


def test_a_list_price_holds_at_an_address_with_variables(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert Config().endpoint("bedrock:global.anthropic.claude-opus-5").price.cache_write == 6.25
    assert Config().endpoint("bedrock:eu.anthropic.claude-opus-5").price is None


def test_the_cost_columns_count_cache_writes(serve):
    from aiquery.testing import Answer

    usage = {"input_tokens": 10, "cache_creation_input_tokens": 1000, "output_tokens": 5}
    body = json.dumps({"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": usage})
    server = serve(lambda _: Answer(body=body.encode()))
    endpoint = server.endpoint(provider="anthropic", price=CLAUDE)
    with aiquery.connect(config={"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}) as con:
        con.sql("SELECT ai_query('m', 'q')").fetchall()
        cost = con.ledger.totals["m"].cost_usd
    assert cost == pytest.approx((10 * 3 + 1000 * 3.75 + 5 * 15) / 1e6)


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-haiku-4-5-20251001"])
def test_a_snapshot_has_the_price_of_its_model(monkeypatch, model):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert Config().endpoint(f"anthropic:{model}").price.output == 5.0
