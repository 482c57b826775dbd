"""Limits of arguments: one over each is refused by name, before any call is made."""

import json

import pytest


def labels(count):
    return [f"label {i}" for i in range(count)]


def array(items):
    return "[" + ", ".join(f"'{item}'" for item in items) + "]"


def nested(levels):
    schema = {"f": {"type": "string"}}
    for _ in range(levels - 1):
        schema = {"f": {"type": "object", "properties": schema}}
    return json.dumps(schema)


def fields(count):
    return json.dumps({f"f{i}": {"type": "string"} for i in range(count)})


def enums(count):
    return json.dumps({"f": {"type": "enum", "labels": labels(count)}})


def instructions(length):
    return f"map{{'instructions': '{'x' * length}'}}"


ALLOWED = [
    f"ai_classify(s, {array(labels(2))})",
    f"ai_classify(s, {array(labels(20))})",
    f"ai_classify(s, '{json.dumps(labels(500))}')",
    f"ai_classify(s, {array(['x' * 100, 'b'])})",
    f"ai_classify(s, '{json.dumps({'a': 'x' * 1000, 'b': ''})}')",
    f"ai_classify(s, ['a', 'b'], {instructions(20_000)})",
    "ai_classify(s, ['a', 'b'], map{'version': '2.0'})",
    "ai_classify(s, '[\"a\", \"b\"]', map{'version': '1.0'})",
    f"ai_extract(s, '{fields(256)}')",
    f"ai_extract(s, '{nested(12)}')",
    f"ai_extract(s, '{enums(500)}')",
    f"ai_extract(s, {array(labels(20))})",
    f"ai_mask(s, {array(labels(20))})",
    "ai_summarize(s, 0)",
]

REFUSED = {
    "labels must have 2 to 20 items, not 1": "ai_classify(s, ['a'])",
    "labels must have 2 to 20 items, not 21": f"ai_classify(s, {array(labels(21))})",
    "labels must have 2 to 500 items, not 501": f"ai_classify(s, '{json.dumps(labels(501))}')",
    "labels must have 2 to 500 items, not 1": "ai_classify(s, '[\"a\"]')",
    "an item must have 1 to 100 characters": f"ai_classify(s, {array(['x' * 101, 'b'])})",
    "an item must have 1 to 100 characters; '' has 0": "ai_classify(s, ['', 'b'])",
    "'a' appears more than once": "ai_classify(s, ['a', 'a'])",
    "the description of 'a' has 1,001 characters": f"ai_classify(s, '{json.dumps({'a': 'x' * 1001, 'b': ''})}')",
    "option 'instructions' has 20,001 characters": f"ai_classify(s, ['a', 'b'], {instructions(20_001)})",
    "option 'multilabel' needs version 2": "ai_classify(s, ['a', 'b'], map{'multilabel': 'true'})",
    "option 'multilabel' must be 'true' or 'false'": "ai_classify(s, '[\"a\", \"b\"]', map{'multilabel': 'yes'})",
    "option 'multilable' is not known; known: version": "ai_classify(s, ['a', 'b'], map{'multilable': 'true'})",
    "option 'version' must be '1.0' or '2.0'": "ai_classify(s, ['a', 'b'], map{'version': '3'})",
    "labels are malformed JSON": "ai_classify(s, '[\"a\"')",
    "labels in JSON must be a list of names": "ai_classify(s, '7')",
    "labels must be a constant ARRAY of STRINGs": "ai_classify(s, [1, 2])",
    "the schema has more than 256 fields": f"ai_extract(s, '{fields(257)}')",
    "nested 13 levels deep; at most 12": f"ai_extract(s, '{nested(13)}')",
    "the schema has more than 500 labels": f"ai_extract(s, '{enums(501)}')",
    'f must be an object with a "type", one of string': 'ai_extract(s, \'{"f": {"type": "text"}}\')',
    'f is an array and needs "items"': 'ai_extract(s, \'{"f": {"type": "array"}}\')',
    'f is an enum and needs "labels"': 'ai_extract(s, \'{"f": {"type": "enum"}}\')',
    "the schema is malformed JSON": "ai_extract(s, '{')",
    "ai_extract: labels must have 1 to 20 items, not 21": f"ai_extract(s, {array(labels(21))})",
    "ai_mask: labels must have 1 to 20 items, not 0": "ai_mask(s, [])",
    "ai_mask: labels must have 1 to 20 items, not 21": f"ai_mask(s, {array(labels(21))})",
    "AI_FUNCTION_INVALID_MAX_WORDS.*SQLSTATE: 22032": "ai_summarize(s, -1)",
    "max_words must be an integer from 0": "ai_summarize(s, 'many')",
    "ai_agg: instruction must be a constant STRING that is not empty": "ai_agg(s, '')",
    "ai_gen: failOnError must be a constant BOOLEAN": "ai_gen(s, failOnError => 'no')",
    "ai_gen: on_budget must be 'error' or 'null'": "ai_gen(s, on_budget => 'zero')",
}


@pytest.mark.parametrize("call", ALLOWED, ids=range(len(ALLOWED)))
def test_the_limit_itself_is_allowed(engine, endpoint, call):
    sql = engine(m=endpoint.endpoint(), defaults={"chat": "m"})
    sql.table(s=["text"])
    assert len(sql.rows(f"SELECT {call} FROM t")) == 1
    assert endpoint.calls == 1


@pytest.mark.parametrize("problem", REFUSED, ids=range(len(REFUSED)))
def test_one_over_is_refused_by_name(engine, endpoint, problem):
    sql = engine(m=endpoint.endpoint(), defaults={"chat": "m"})
    sql.table(s=["text"])
    with pytest.raises(sql.errors, match=problem):
        sql.rows(f"SELECT {REFUSED[problem]} FROM t")
    assert endpoint.calls == 0
