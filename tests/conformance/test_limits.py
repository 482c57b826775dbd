"""Limits of arguments: a value above a limit is rejected by name, before any call."""

import json

import pytest


def make_labels(count):
    return [f"label {i}" for i in range(count)]


def make_array(items):
    return "[" + ", ".join(f"'{item}'" for item in items) + "]"


def make_nested_schema(levels):
    schema = {"f": {"type": "string"}}
    for _ in range(levels - 1):
        schema = {"f": {"type": "object", "properties": schema}}
    return json.dumps(schema)


def make_fields(count):
    return json.dumps({f"f{i}": {"type": "string"} for i in range(count)})


def make_enum(count):
    return json.dumps({"f": {"type": "enum", "labels": make_labels(count)}})


def make_instructions(length):
    return f"map{{'instructions': '{'x' * length}'}}"


ALLOWED = [
    f"ai_classify(s, {make_array(make_labels(2))})",
    f"ai_classify(s, {make_array(make_labels(20))})",
    f"ai_classify(s, '{json.dumps(make_labels(500))}')",
    f"ai_classify(s, {make_array(['x' * 100, 'b'])})",
    f"ai_classify(s, '{json.dumps({'a': 'x' * 1000, 'b': ''})}')",
    f"ai_classify(s, ['a', 'b'], {make_instructions(20_000)})",
    "ai_classify(s, ['a', 'b'], map{'version': '2.0'})",
    "ai_classify(s, '[\"a\", \"b\"]', map{'version': '1.0'})",
    f"ai_extract(s, '{make_fields(256)}')",
    f"ai_extract(s, '{make_nested_schema(12)}')",
    f"ai_extract(s, '{make_enum(500)}')",
    f"ai_extract(s, {make_array(make_labels(20))})",
    f"ai_mask(s, {make_array(make_labels(20))})",
    "ai_summarize(s, 0)",
]

REJECTED = {
    "labels must have 2 to 20 items, not 1": "ai_classify(s, ['a'])",
    "labels must have 2 to 20 items, not 21": f"ai_classify(s, {make_array(make_labels(21))})",
    "labels must have 2 to 500 items, not 501": f"ai_classify(s, '{json.dumps(make_labels(501))}')",
    "labels must have 2 to 500 items, not 1": "ai_classify(s, '[\"a\"]')",
    "an item must have 1 to 100 characters": f"ai_classify(s, {make_array(['x' * 101, 'b'])})",
    "an item must have 1 to 100 characters; '' has 0": "ai_classify(s, ['', 'b'])",
    "'a' appears more than once": "ai_classify(s, ['a', 'a'])",
    "the description of 'a' has 1,001 characters": f"ai_classify(s, '{json.dumps({'a': 'x' * 1001, 'b': ''})}')",
    "option 'instructions' has 20,001 characters": f"ai_classify(s, ['a', 'b'], {make_instructions(20_001)})",
    "option 'multilabel' needs version 2": "ai_classify(s, ['a', 'b'], map{'multilabel': 'true'})",
    "option 'multilabel' must be 'true' or 'false'": "ai_classify(s, '[\"a\", \"b\"]', map{'multilabel': 'yes'})",
    "option 'multilable' is not known; known: version": "ai_classify(s, ['a', 'b'], map{'multilable': 'true'})",
    "option 'version' must be '1.0', '2.0' or '2.1'": "ai_classify(s, ['a', 'b'], map{'version': '3'})",
    "labels are malformed JSON": "ai_classify(s, '[\"a\"')",
    "labels in JSON must be a list of names": "ai_classify(s, '7')",
    "labels must be a constant ARRAY of STRINGs": "ai_classify(s, [1, 2])",
    "the schema has more than 256 fields": f"ai_extract(s, '{make_fields(257)}')",
    "nested 13 levels deep; at most 12": f"ai_extract(s, '{make_nested_schema(13)}')",
    "the schema has more than 500 labels": f"ai_extract(s, '{make_enum(501)}')",
    'f must be an object with a "type", one of string': 'ai_extract(s, \'{"f": {"type": "text"}}\')',
    'f is an array and needs "items"': 'ai_extract(s, \'{"f": {"type": "array"}}\')',
    'f is an enum and needs "labels"': 'ai_extract(s, \'{"f": {"type": "enum"}}\')',
    "the schema is malformed JSON": "ai_extract(s, '{')",
    "ai_extract: labels must have 1 to 20 items, not 21": f"ai_extract(s, {make_array(make_labels(21))})",
    "ai_mask: labels must have 1 to 20 items, not 0": "ai_mask(s, [])",
    "ai_mask: labels must have 1 to 20 items, not 21": f"ai_mask(s, {make_array(make_labels(21))})",
    "AI_FUNCTION_INVALID_MAX_WORDS.*SQLSTATE: 22032": "ai_summarize(s, -1)",
    "max_words must be an integer from 0": "ai_summarize(s, 'many')",
    "ai_agg: instruction must be a constant STRING that is not empty": "ai_agg(s, '')",
    "ai_gen: failOnError must be a constant BOOLEAN": "ai_gen(s, failOnError => 'no')",
    "ai_gen: on_budget must be 'error' or 'null'": "ai_gen(s, on_budget => 'zero')",
}


@pytest.mark.parametrize("call", ALLOWED, ids=range(len(ALLOWED)))
def test_a_value_at_the_limit_is_allowed(engine, endpoint, call):
    sql = engine(m=endpoint.endpoint(), defaults={"chat": "m"})
    sql.table(s=["text"])
    assert len(sql.rows(f"SELECT {call} FROM t")) == 1
    assert endpoint.calls == 1


@pytest.mark.parametrize("problem", REJECTED, ids=range(len(REJECTED)))
def test_a_value_above_the_limit_is_rejected_by_name(engine, endpoint, problem):
    sql = engine(m=endpoint.endpoint(), defaults={"chat": "m"})
    sql.table(s=["text"])
    with pytest.raises(sql.errors, match=problem):
        sql.rows(f"SELECT {REJECTED[problem]} FROM t")
    assert endpoint.calls == 0
