"""What a reply has beside the answer never fails the row, and what is no answer never becomes one.

The replies are of the kinds that public bug reports show: OpenRouter, Mistral, Ollama, vLLM, Azure, LiteLLM, gateways.
"""

import gzip
import json
import sys
import zlib

import brotli
import pytest

import aiquery
from aiquery.testing import Answer
from raw_server import Raw


def chat(content="hello", *, message=None, choice=None, **fields):
    """Return a chat completion."""
    said = {"role": "assistant", "content": content, **(message or {})}
    one = {"index": 0, "message": said, "finish_reason": "stop", **(choice or {})}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    return {"id": "x", "object": "chat.completion", "choices": [one], "usage": usage, **fields}


def http(body, status=200, **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    fields = {"Content-Type": "application/json", "Content-Length": len(body), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def ask(reply, sql="SELECT ai_query('m', 'q')", **settings):
    """Return the value, or the error's text, and how many requests were sent."""
    with Raw(lambda *_: reply if isinstance(reply, bytes) else http(reply)) as server:
        endpoint = server.endpoint(**{"max_attempts": 2, **settings})
        config = {"endpoints": {"m": endpoint}, "defaults": {"chat": "m"}, "cache": {"store": "memory:"}}
        with aiquery.connect(config=config) as con:
            try:
                value = con.sql(sql).fetchall()[0][0]
            except aiquery.errors.AIQueryError as error:
                value = f"error: {error}"
        return value, server.served


TEXT = {"type": "text", "text": "hello"}
CONTENTS = {
    "a string": "hello",
    "one part": [TEXT],
    "two parts": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}],
    "a part of Responses": [{"type": "output_text", "text": "hello", "annotations": []}],
    "parts without a type": [{"text": "hello"}],
    "parts that are strings": ["hel", "lo"],
    "thinking": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT],
    "thinking as a text": [{"type": "reasoning", "text": "hm"}, TEXT],
    "an unknown part": [{"type": "citation", "text": "page 3"}, TEXT, None, 7],
    "one part alone": TEXT,
    "thinking in the text": "<think>hm</think>hello",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_content_in_all_its_forms(name):
    assert ask(chat(CONTENTS[name])) == ("hello", 1)


BESIDE = [
    {"usage": None},
    {"usage": []},
    {"usage": "5"},
    {"usage": {}},
    {"usage": {"prompt_tokens": 3.5}},
    {"usage": {"prompt_tokens": "3", "completion_tokens": None}},
    {"usage": {"prompt_tokens": -1}},
    {"usage": {"prompt_tokens": 10**30}},
    {"usage": {"prompt_tokens_details": []}},
    {"usage": {"prompt_tokens_details": {"cached_tokens": "x"}}},
    {"created": "yesterday", "id": None, "model": 7, "object": [], "system_fingerprint": {}},
    {"choice": {"logprobs": []}},
    {"choice": {"logprobs": {"content": [{"token": "hello", "logprob": None}]}}},
    {"choice": {"logprobs": {"content": "hello"}}},
    {"choice": {"index": "0", "finish_reason": 7}},
    {"choice": {"finish_reason": None}},
    {"choice": {"error": None}},
    {"message": {"reasoning_content": "hm", "reasoning": ["hm"], "tool_calls": "none", "audio": 1}},
    {"message": {"refusal": None, "annotations": {}}},
    {"message": {"refusal": ""}},
    {"error": None},
    {"error": ""},
    {"error": {}},
    {"extra": [[[]]], "timings": {"prompt_ms": 1e999}},
]  # fmt: skip


@pytest.mark.parametrize("fields", BESIDE, ids=str)
def test_what_is_not_used_never_fails_the_row(fields):
    assert ask(chat(**fields)) == ("hello", 1)


def bodies():
    body = json.dumps(chat()).encode()
    chunk = {"choices": [{"delta": {"content": "hel"}}]}
    last = {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}], "usage": None}
    stream = "".join(f"data: {json.dumps(one)}\n\n" for one in (chunk, last))
    deflate = zlib.compressobj(wbits=-15)
    return {
        "a BOM": http(b"\xef\xbb\xbf" + body),
        "blanks": http(b"\r\n " + body + b"\n"),
        "NaN": http(body[:-1] + b', "score": NaN, "other": -Infinity}'),
        "a lone surrogate": http(body[:-1] + b', "user": "\\ud800"}'),
        "a number of 400 digits": http(body[:-1] + b', "n": ' + b"9" * 400 + b"}"),
        "a stream": http(f": comment\n\n{stream}data: [DONE]\n\n".encode()),
        "a stream with names": http(stream.replace("data:", "event: chunk\r\ndata:").encode()),
        "a stream of one message": http(b"data: " + body + b"\n\n"),
        "201": http(body, 201),
        "202": http(body, 202),
        "gzip": http(gzip.compress(body), Content_Encoding="gzip"),
        "GZIP": http(gzip.compress(body), Content_Encoding="GZIP"),
        "x-gzip": http(gzip.compress(body), Content_Encoding="x-gzip"),
        "two members": http(gzip.compress(body[:40]) + gzip.compress(body[40:]), Content_Encoding="gzip"),
        "padded members": http(gzip.compress(body) + bytes(10), Content_Encoding="gzip"),
        "zlib": http(zlib.compress(body), Content_Encoding="deflate"),
        "raw deflate": http(deflate.compress(body) + deflate.flush(), Content_Encoding="deflate"),
        "identity": http(body, Content_Encoding="identity"),
        "identity and gzip": http(gzip.compress(body), Content_Encoding="identity, gzip"),
        "no encoding": http(body, Content_Encoding=""),
    }


@pytest.mark.parametrize("name", bodies())
def test_bodies(name):
    assert ask(bodies()[name]) == ("hello", 1)


def zstd(data):
    try:
        from compression.zstd import compress
    except ImportError:
        from backports.zstd import compress
    return compress(data)


COMPRESS = {"br": brotli.compress, "zstd": zstd}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_encodings_of_other_packages(encoding):
    body = COMPRESS[encoding](json.dumps(chat()).encode())
    assert ask(http(body, Content_Encoding=encoding)) == ("hello", 1)
    assert "does not decompress" in ask(http(body[:-9], Content_Encoding=encoding))[0]
    assert "does not decompress" in ask(http(b"no" + body, Content_Encoding=encoding))[0]
    bomb = COMPRESS[encoding](bytes(50_000_000))
    assert "longer than 4194304 bytes" in ask(http(bomb, Content_Encoding=encoding))[0]


@pytest.mark.parametrize("encoding", COMPRESS)
def test_without_the_package_the_error_names_it(encoding, monkeypatch):
    for name in ("brotli", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    value, _ = ask(http(b"\x01\x02\x03", Content_Encoding=encoding))
    assert f"content encoding {encoding!r}, which needs the package" in value
    assert "pip install" in value


def test_a_content_with_a_lone_surrogate_is_read():
    body = json.dumps(chat("x \ud800 y")).encode()
    assert ask(http(body)) == ("x ? y", 1)


@pytest.mark.parametrize("encoding", ["compress", "foo, gzip", "gzip, gzip"])
def test_an_encoding_that_cannot_be_read_is_named(encoding):
    value, served = ask(http(b"\x01\x02\x03", Content_Encoding=encoding))
    assert f"content encoding {encoding!r}" in value
    assert served <= 2


UPSTREAM = {"code": 502, "message": "upstream idle"}
EARLY_END = b'data: {"choices": [{"delta": {"content": "The answer is"}}]}\n\n'
CUT = {"finish_reason": "length"}
BROKEN = {
    "an error in the choice": (chat("", choice={"finish_reason": "error", "error": UPSTREAM}), "upstream idle", 2),
    "half an answer": (chat("The answer is", choice={"finish_reason": "error", "error": UPSTREAM}), "upstream idle", 2),
    "an error in the choice only": (chat("The answer is", choice={"error": UPSTREAM}), "upstream idle", 2),
    "a broken answer without words": (chat("The", choice={"finish_reason": "error"}), "broke off the reply", 2),
    "an error beside an answer": (chat("The", error=UPSTREAM), "upstream idle", 2),
    "an error that passes": ({"error": {"message": "slow down", "type": "rate_limit_exceeded"}}, "slow down", 2),
    "a code as a text": ({"error": {"message": "busy", "code": "503"}}, "busy", 2),
    "an error that stays": ({"error": {"message": "no such field", "code": 400}}, "no such field", 1),
    "an error of an unknown code": ({"error": {"message": "odd", "code": "odd"}}, "odd", 1),
    "an error as a text": ({"error": "it broke"}, "it broke", 1),
    "a stream that ends early": (http(EARLY_END), "ended before", 2),
    "a stream with an error": (http(b'data: {"error": {"message": "busy", "code": 503}}\n\n'), "busy", 2),
    "a refusal": (chat(None, message={"refusal": "I cannot help"}), "the model refused: 'I cannot help'", 1),
    "a refusal in a part": (chat([{"type": "refusal", "refusal": "I cannot"}]), "the model refused: 'I cannot'", 1),
    "a filter": (chat("", choice={"finish_reason": "content_filter"}), "content filter", 1),
    "no text": (chat(None), "the reply has no text", 1),
    "no tokens left": (chat(None, choice=CUT), "used up by reasoning", 1),
    "no tokens left, empty": (chat("", choice=CUT, message={"reasoning": "hm"}), "max_tokens", 1),
    "204": (http(b"", 204), "HTTP 204", 1),
    "HTML": (http(b"<html>sign in</html>"), "sign in", 2),
    "no object": (http(b"[]"), "expected an object", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_never_becomes_one(name):
    reply, error, served = BROKEN[name]
    value, requests = ask(reply)
    assert value.startswith("error: ")
    assert error in value
    assert requests == served


def test_the_tokens_of_a_refusal_are_counted():
    reply = chat(None, message={"refusal": "I cannot help"})
    with Raw(lambda *_: http(reply)) as server, aiquery.connect(config={"endpoints": {"m": server.endpoint()}}) as con:
        con.sql("SELECT ai_query('m', 'q', failOnError => false)").fetchall()
        totals = con.ledger.totals["m"]
    assert (totals.tokens_in, totals.tokens_out) == (5, 3)


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_text_that_is_too_long_is_shortened_also_behind_a_long_message(serve, status):
    """The words stand behind 600 characters, of which the error shows the first 500."""
    message = "Sorry. " * 90 + "the input length exceeds the context length"

    def answer(question):
        if max(map(len, question.body["input"])) > 8000:
            return Answer(status=status, body=json.dumps({"error": {"code": status, "message": message}}).encode())
        return Answer()

    server = serve(answer)
    config = {"endpoints": {"e": server.endpoint(task="embedding")}, "defaults": {"embedding": "e"}}
    with aiquery.connect(config=config | {"cache": {"store": "memory:"}}) as con:
        assert con.sql(f"SELECT len(ai_embed('{'x' * 16_000}'))").fetchall() == [(8,)]
    assert server.calls <= 3


EMBEDDINGS = {
    "none": [],
    "different lengths": [[1.0, 2.0], [1.0]],
    "empty": [[], []],
    "a null": [[1.0, None], [1.0, 2.0]],
    "NaN": '{"data": [{"embedding": [NaN, 1]}, {"embedding": [1, 2]}]}',
    "out of range": [[1e300, 1.0], [1.0, 2.0]],
    "no base64": ["!!", "??"],
    "half a float": ["AAAA", "AAAA"],
    "a text": [["1", "2"], ["1", "2"]],
    "no vector": [None, None],
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_wrong_embedding_is_the_error_of_its_row(serve, name):
    rows = EMBEDDINGS[name]
    body = rows if isinstance(rows, str) else json.dumps({"data": [{"embedding": row} for row in rows]})
    server = serve(lambda _: Answer(body=body.encode()))
    endpoint = server.endpoint(task="embedding", max_attempts=1)
    config = {"endpoints": {"e": endpoint}, "defaults": {"embedding": "e"}, "cache": {"store": "memory:"}}
    with aiquery.connect(config=config) as con:
        assert con.sql("SELECT TRY(ai_embed('t' || i)) FROM range(2) t(i)").fetchall() == [(None,)] * 2
        with pytest.raises(aiquery.errors.AIQueryError):
            con.sql("SELECT ai_embed('s' || i) FROM range(2) t(i)")


def test_embeddings_in_any_order_and_form(serve):
    packed = "AACAPwAAAEA="  # 1.0 and 2.0 as 32-bit floats
    data = [{"index": 1, "embedding": packed, "object": 3}, {"index": 0, "embedding": [3, 4.5]}]
    server = serve(lambda _: Answer(body=json.dumps({"data": data, "usage": [], "model": None}).encode()))
    config = {"endpoints": {"e": server.endpoint(task="embedding")}, "defaults": {"embedding": "e"}}
    with aiquery.connect(config=config | {"cache": {"store": "memory:"}}) as con:
        rows = dict(con.sql("SELECT 't' || i, ai_embed('t' || i) FROM range(2) t(i)").fetchall())
    texts = server.requests[0].body["input"]
    assert [list(rows[text]) for text in texts] == [[3.0, 4.5], [1.0, 2.0]]
