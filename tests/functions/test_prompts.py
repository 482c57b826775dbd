"""The messages that each function sends for its documented examples, word for word: ``prompts/``.

A changed prompt is a difference to review here. It sends all rows again, because the prompt is part
of the cache key. ``AIQUERY_WRITE_PROMPTS=1 pytest tests/functions/test_prompts.py`` writes the
files.
"""

import json
import os
from pathlib import Path

import pytest

import aiquery
import aiquery.config
from aiquery import registry
from aiquery.functions.ai_classify import AI_CLASSIFY
from aiquery.functions.ai_translate import AI_TRANSLATE
from aiquery.testing import Answer, EndpointServer

FOLDER = Path(__file__).parent / "prompts"
CHAT = [
    name for name in registry.functions() if name not in {"ai_embed", "ai_similarity", "ai_rerank", "ai_count_tokens"}
]


def format_question(question):
    body = question.body
    lines = [f"[{message['role']}]\n{message['content']}\n" for message in body["messages"]]
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        lines.append(f"[schema]\n{json.dumps(schema, ensure_ascii=False)}\n")
    return "\n".join(lines)


def collect_messages(function):
    parts = []
    for example in function.examples:
        with EndpointServer(lambda _, reply=example.reply: Answer(text=reply)) as server:
            endpoint = server.endpoint()
            config = {"endpoints": {"m": endpoint, "local:smollm2-135m-instruct": endpoint}, "defaults": {"chat": "m"}}
            with aiquery.connect(config=config) as con:
                con.sql(example.sql, dialect="databricks")
            parts.append(f"== {example.sql}\n\n" + "\n".join(format_question(question) for question in server.requests))
    return "\n".join(parts)


@pytest.mark.parametrize("name", CHAT)
def test_the_messages_of_the_examples(name):
    path = FOLDER / f"{name}.txt"
    text = collect_messages(registry.functions()[name])
    if os.environ.get("AIQUERY_WRITE_PROMPTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def compute_key(function, monkeypatch, **changes):
    from aiquery.config.settings import Config
    from aiquery.requests.request import Request

    with monkeypatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(type(function), name, value)
        arguments = {"labels": ["a", "b"], "endpoint": "fake:m"}
        call = function.bind(arguments, Config())
        return Request(call.template, "text").key()


def test_prompt_and_version_are_part_of_the_key(monkeypatch):
    from aiquery.functions import ai_classify
    from aiquery.requests.request import Prompt

    before = compute_key(AI_CLASSIFY, monkeypatch)
    assert compute_key(AI_CLASSIFY, monkeypatch) == before
    assert compute_key(AI_CLASSIFY, monkeypatch, version="2") != before
    monkeypatch.setattr(ai_classify, "PROMPT", Prompt("Choose among {labels}.", ai_classify.PROMPT.user))
    assert compute_key(AI_CLASSIFY, monkeypatch) != before


def test_texts_of_a_statement_are_never_templates(serve):
    server = serve()
    con = aiquery.connect(config={"endpoints": {"m": server.endpoint()}, "defaults": {"chat": "m"}})
    con.sql("SELECT ai_classify('{labels} {content}', ['{instructions}', 'b{content}'])")
    con.sql("SELECT ai_translate('{language}', '{content}')")
    con.close()
    first, second = (question.body["messages"] for question in server.requests)
    assert "{instructions} | b{content}." in first[0]["content"]
    assert first[1]["content"] == "{labels} {content}"
    assert second[-1]["content"] == "Into {content}: {language}"
    assert AI_TRANSLATE.name in registry.functions()


OWN_WORDS = {"ai_filter": 40} | dict.fromkeys(
    ("ai_classify", "ai_analyze_sentiment", "ai_extract", "ai_summarize", "ai_translate", "ai_fix_grammar", "ai_mask"),
    60,
)


@pytest.mark.local_model
@pytest.mark.parametrize("name", OWN_WORDS)
def test_a_remote_model_is_sent_few_words_of_our_own_and_they_come_first(name, serve):
    function = registry.functions()[name]
    endpoint = serve().endpoint()
    arguments = {"labels": ["a", "b"], "fields": ["a", "b"], "endpoint": "m"}
    prompt = function.bind(arguments, aiquery.config.load({"endpoints": {"m": endpoint}})).template.prompt
    texts = [str(message["content"]) for message in prompt.build_messages({"content": "", "condition": ""})]
    with aiquery.connect() as con:
        sql = "SELECT sum(ai_count_tokens('local:smollm2-135m-instruct', t)) FROM (SELECT unnest(?::VARCHAR[]) AS t)"
        ((count,),) = con.sql(sql, params=[[text for text in texts if text]]).fetchall()
    assert count <= OWN_WORDS[name]
    assert not prompt.examples
    assert prompt.user.endswith("{content}")
