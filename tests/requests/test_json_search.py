"""JSON with something around it is read if exactly one value fits; otherwise the model is asked again."""

import json
import time
from decimal import Decimal

import pytest

from aiquery.errors import ReplyParseError
from aiquery.requests.json_search import find_json, find_scalar
from aiquery.requests.parsing import JSONParser, TypedParser
from aiquery.requests.request import Response
from aiquery.requests.sql_types import parse_ddl

AROUND = {
    "nothing": '{"a": 1}',
    "a fence": '```json\n{"a": 1}\n```',
    "a fence on one line": '```json {"a": 1} ```',
    "a fence without a language": '```{"a": 1}```',
    "a fence of tildes": '~~~json\n{"a": 1}\n~~~',
    "a fence with CRLF": '```json\r\n{"a": 1}\r\n```',
    "an open fence": '```json\n{"a": 1}',
    "a closed fence that was not opened": '{"a": 1}\n```',
    "a fence of four": '````json\n{"a": 1}\n````',
    "prose before": 'Sure! {"a": 1}',
    "prose and a fence": 'Here is the JSON:\n```json\n{"a": 1}\n```',
    "prose behind": '```json\n{"a": 1}\n```\nI hope this helps!',
    "prose with quotes": """It's 5" wide, "so": {"a": 1} isn't it?""",
    "prose with a bracket": 'See [sic: {"a": 1}',
    "a citation": 'As in [1], {"a": 1}',
    "other objects": 'For {name} I use {} and {"b": 2}: {"a": 1}',
    "a BOM": '\ufeff{"a": 1}',
    "an end of text": '{"a": 1}</s>',
    "another end of text": '{"a": 1}<|im_end|>',
    "the value twice": '{"a": 1}\n{"a": 1}',
    "the value twice, spelt differently": '{"a":1} {"a" : 1 }',
    "a second encoding": '"{\\"a\\": 1}"',
    "a tag": '<tool_call>{"a": 1}</tool_call>',
    "quotes of a language": 'json\n{"a": 1}',
}


@pytest.mark.parametrize("name", AROUND)
def test_what_is_around_the_json_is_ignored(name):
    response = Response(text=AROUND[name])
    assert TypedParser(parse_ddl("STRUCT<a: INT>")).read(response, None) == {"a": 1}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert json.loads(JSONParser(schema).read(response, None)) == {"a": 1}


UNCLEAR = {
    "two values": '{"a": 1} or {"a": 2}',
    "none that fits": 'Sure! {"b": 1}',
    "half a value": 'Sure! {"a": 1',
    "an unclosed string": 'Sure! {"a": "1}',
    "no JSON": "I cannot do that.",
    "NaN": 'Sure! {"a": NaN}',
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_an_unclear_reply_is_not_guessed(name):
    with pytest.raises(ReplyParseError) as error:
        TypedParser(parse_ddl("STRUCT<a: INT>")).read(Response(text=UNCLEAR[name]), None)
    assert error.value.repairable


DIGITS = "123456789012345678901234567890123456.78"
TYPES = [
    ("STRUCT<a: STRING>", '{"a": "one\ntwo"}', {"a": "one\ntwo"}),
    ("STRUCT<a: DATE>", '{"a": "2024-05-01 (Wednesday)"}', {"a": "2024-05-01"}),
    ("ARRAY<INT>", "The numbers are [1, 2].", [1, 2]),
    ("ARRAY<STRING>", 'Here: {"result": ["a"]} done', ["a"]),
    ("MAP<STRING, INT>", 'Sure: {"result": {"x": 1}}', {"x": 1}),
    ("STRUCT<a: DECIMAL(38, 2)>", f'So {{"a": {DIGITS}}}', {"a": DIGITS}),
    ("INT", "42", 42),
    ("INT", "The answer is 42.", 42),
    ("INT", "**42**", 42),
    ("INT", "I counted 42, so 42", 42),
    ("DOUBLE", "Score: 0.75", 0.75),
    ("DOUBLE", "-3.5e-2", -0.035),
    ("DECIMAL(20, 2)", "Total: 123456789012345678.91", "123456789012345678.91"),
    ("BOOLEAN", "True", True),
    ("BOOLEAN", "The answer is false.", False),
    ("DATE", "2024-05-01", "2024-05-01"),
    ("DATE", "```\n2024-05-01\n```", "2024-05-01"),
    ("TIMESTAMP", "2024-05-01T10:00:00Z", "2024-05-01 10:00:00+00:00"),
]  # fmt: skip


@pytest.mark.parametrize(("ddl", "text", "value"), TYPES)
def test_values_of_types(ddl, text, value):
    assert TypedParser(parse_ddl(ddl)).read(Response(text=text), None) == value


@pytest.mark.parametrize(
    ("ddl", "text"),
    [
        ("INT", "between 4 and 5"),
        ("INT", "1,234"),
        ("INT", "50%"),
        ("INT", "3/4"),
        ("INT", "4.5"),
        ("INT", "version 1.2.3"),
        ("TINYINT", "It is 300"),
        ("BOOLEAN", "true or false"),
        ("BOOLEAN", "It is untrue"),
        ("DATE", "May 2024"),
        ("STRING", 'He said "yes"'),
    ],
)
def test_a_number_or_a_word_that_is_not_clear_is_not_guessed(ddl, text):
    with pytest.raises(ReplyParseError):
        TypedParser(parse_ddl(ddl)).read(Response(text=text), None)


def test_decimals_keep_their_digits():
    assert find_json('x {"a": 0.1234567890123456789}', lambda _: True, exact=True).value == {
        "a": Decimal("0.1234567890123456789")
    }
    assert find_scalar("it is 0.1234567890123456789", lambda _: True) == Decimal("0.1234567890123456789")


WORST = {
    "open braces": "{" * 1_000_000,
    "open strings": '{"' * 500_000,
    "escaped quotes": '{"' + '\\"' * 500_000,
    "quotes": '"' * 1_000_000,
    "quotes after a bracket": "[" + '"' * 999_999,
    "small objects": "{} " * 300_000,
    "values that differ": "".join(f'{{"a":{i}}}' for i in range(90_000)),
    "digits": "1" * 1_000_000,
    "deep": "[" * 500_000 + "]" * 500_000,
}


@pytest.mark.parametrize("name", WORST)
def test_the_search_takes_linear_time(name):
    """A quadratic search of a million characters would take hours: the limit of the test finds it."""
    started = time.process_time()
    assert find_json(WORST[name], lambda value: isinstance(value, str)) is None
    assert find_scalar(WORST[name][:10_000], lambda value: isinstance(value, str)) is None
    assert time.process_time() - started < 20
