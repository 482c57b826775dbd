"""What each function says to the model: the messages of its documented examples, word for word, in ``prompts/``.

A changed wording shows here as a difference to review. It asks all rows anew, since the words are part of the key;
``AIQUERY_WRITE_PROMPTS=1 pytest tests/functions/test_prompts.py`` writes the files anew.
"""

import json
import os
from pathlib import Path

import pytest

import aiquery
from aiquery import registry
from aiquery.functions.ai_classify import AI_CLASSIFY
from aiquery.functions.ai_translate import AI_TRANSLATE
from aiquery.testing import Answer, EndpointServer

FOLDER = Path(__file__).parent / "prompts"
CHAT = [
    name
    for name in registry.functions()
    if name not in {"ai_embed", "ai_similarity", "ai_count_tokens"}
]


def shown(question):
    body = question.body
    lines = [
        f"[{message['role']}]\n{message['content']}\n" for message in body["messages"]
    ]
    if "response_format" in body:
        schema = body["response_format"]["json_schema"]["schema"]
        lines.append(f"[schema]\n{json.dumps(schema, ensure_ascii=False)}\n")
    return "\n".join(lines)


def asked(function):
    parts = []
    for example in function.examples:
        with EndpointServer(
            lambda _, reply=example.reply: Answer(text=reply)
        ) as server:
            endpoint = server.endpoint()
            config = {
                "endpoints": {"m": endpoint, "local:smollm2-135m-instruct": endpoint},
                "defaults": {"chat": "m"},
            }
            with aiquery.connect(config=config) as con:
                con.sql(example.sql, dialect="databricks")
            parts.append(
                f"== {example.sql}\n\n"
                + "\n".join(shown(question) for question in server.requests)
            )
    return "\n".join(parts)


@pytest.mark.parametrize("name", CHAT)
def test_the_words_of_the_examples(name):
    path = FOLDER / f"{name}.txt"
    text = asked(registry.functions()[name])
    if os.environ.get("AIQUERY_WRITE_PROMPTS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def key(function, monkeypatch, **changes):
    from aiquery.config.settings import Config
    from aiquery.requests.request import Request

    with monkeypatch.context() as patch:
        for name, value in changes.items():
            patch.setattr(type(function), name, value)
        arguments = {"labels": ["a", "b"], "endpoint": "fake:m"}
        call = function.bind(arguments, Config())
        return Request(call.template, "text").key()


def test_words_and_version_are_part_of_the_key(monkeypatch):
    from aiquery.functions import ai_classify
    from aiquery.requests.request import Prompt

    before = key(AI_CLASSIFY, monkeypatch)
    assert key(AI_CLASSIFY, monkeypatch) == before
    assert key(AI_CLASSIFY, monkeypatch, version="2") != before
    monkeypatch.setattr(
        ai_classify, "PROMPT", Prompt("Choose among {labels}.", ai_classify.PROMPT.user)
    )
    assert key(AI_CLASSIFY, monkeypatch) != before


def test_what_a_user_gives_is_never_a_template(serve):
    server = serve()
    con = aiquery.connect(
        config={"endpoints": {"m": server.endpoint()}, "defaults": {"chat": "m"}}
    )
    con.sql(
        "SELECT ai_classify('{labels} {content}', ['{instructions}', 'b{content}'])"
    )
    con.sql("SELECT ai_translate('{language}', '{content}')")
    con.close()
    first, second = (question.body["messages"] for question in server.requests)
    assert "{instructions} | b{content}." in first[0]["content"]
    assert first[1]["content"] == "{labels} {content}"
    assert second[-1]["content"] == "Into {content}: {language}"
    assert AI_TRANSLATE.name in registry.functions()
