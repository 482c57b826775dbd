"""Random input to every parser of outside bytes ends as a value or as one of our errors.

``AIQUERY_FUZZ_CASES=100000 pytest tests/security/test_fuzzing.py --timeout 7200`` tries 100,000 cases each; in CI it is
1,000.
"""

import asyncio
import json
import os
import sqlite3
import struct
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aiquery.config.settings import Config
from aiquery.engines.duckdb.dialects import parse_text
from aiquery.errors import AIQueryError, InvalidResponse, ReplyParseError, RowError, UnsupportedReturnType
from aiquery.functions.ai_classify import MultiLabelParser
from aiquery.functions.ai_mask import MaskParser
from aiquery.functions.chat_parsers import ChoiceParser, TidyTextParser
from aiquery.inference.cache.sqlite import SQLiteStore
from aiquery.inference.cluster import protocol
from aiquery.inference.cluster.connection import Connection
from aiquery.inference.cluster.coordinator import Coordinator, WorkerConnection
from aiquery.providers.http.connection import ClosedBeforeReply, HTTPConnection, MalformedReply, ReplyTooLong
from aiquery.providers.http.errors import build_status_error
from aiquery.providers.http.rate_limits import read_rate_limits
from aiquery.providers.http.retry_after import read_wait_s
from aiquery.providers.openai.chat_completions import Chat, read_chat
from aiquery.providers.openai.embeddings import Embeddings, read_embeddings
from aiquery.requests.parsing import JSONParser, TextParser, TypedParser, VectorParser
from aiquery.requests.request import Request, RequestTemplate, Response
from aiquery.requests.sql_types import parse_ddl, to_arrow, to_ddl, to_duckdb, to_json_schema
from aiquery.requests.stored_answer import is_answer
from aiquery.sql.redact import redact_sql
from aiquery.tracking.store import RunStore

CASES = int(os.environ.get("AIQUERY_FUZZ_CASES", "1000"))
fuzz = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
CONFIG = Config()
MAX_ERROR = 2000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated(draw, seeds):
    """Return one of ``seeds`` with some bytes replaced, removed, repeated or added."""
    data = bytearray(draw(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 6)))
        data[at:end] = draw(st.binary(max_size=6) | st.just(bytes(data[at:end]) * 3))
    return bytes(data)


@contextmanager
def expecting(*errors):
    """Accept these errors, which must be short."""
    try:
        yield
    except errors as error:
        if len(str(error)) > MAX_ERROR:
            raise


# --- HTTP replies


def make_reply(status, fields, body):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
    return (head + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode("latin-1") + body


values = st.sampled_from(
    ["0", "-1", "nan", "1e400", "gzip", "chunked", "close", "Wed, 21 Oct 2015 07:28:00 -0000", "2s"]
)
names = st.sampled_from(
    [
        "Retry-After",
        "x-ratelimit-remaining-requests",
        "Content-Encoding",
        "Transfer-Encoding",
        "Keep-Alive",
        "Connection",
    ]
)
chats = st.builds(
    lambda content, extra: {"choices": [{"message": {"content": content}}], "usage": extra}, json_values, json_values
)
vectors = st.builds(lambda one, index: {"data": [{"embedding": one, "index": index}]}, json_values, json_values)
errors = st.builds(lambda value: {"error": value}, json_values)
bodies = st.builds(lambda value: json.dumps(value).encode(), chats | vectors | errors | json_values)
replies = st.builds(
    make_reply, st.sampled_from([200, 100, 204, 400, 429, 503]), st.lists(st.tuples(names, values)), bodies
)


class Transport:
    """A transport of asyncio whose other side is the test."""

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        pass

    def is_closing(self):
        return False

    def abort(self):
        pass

    close = abort


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


async def exchange(data, cut):
    """Return the reply, or the error, of a connection that receives ``data`` in two parts."""
    transport = Transport()
    connection = HTTPConnection(transport, transport)
    future = connection.post(b"", b"")
    for part in (data[:cut], data[cut:]):
        if part:
            connection.data_received(part)
    connection.connection_lost(None)
    assert future.done()
    return future.exception() or future.result()


@fuzz
@given(mutated(replies), st.integers(0, 200))
def test_http_replies(loop, data, cut):
    reply = loop.run_until_complete(exchange(data, cut))
    if isinstance(reply, Exception):
        assert isinstance(reply, MalformedReply | ClosedBeforeReply | ReplyTooLong), repr(reply)
        return
    wait_s = read_wait_s(reply.headers, datetime.now(UTC))
    assert wait_s is None or wait_s >= 0
    read_rate_limits(reply.headers)
    assert len(str(build_status_error(reply))) < 1000
    for document_type, read in ((Chat, read_chat), (Embeddings, lambda document: read_embeddings(document, 1))):
        try:
            response = read(msgspec.json.decode(reply.body, type=document_type))
            TextParser().read(response, None)
            VectorParser().read(response, None)
        except (RowError, msgspec.MsgspecError, UnicodeDecodeError):
            continue


# --- frames of the coordinator

samples = st.sampled_from(
    [
        ["Subscribe", 0, "m", [4, 64, None, None], "b", None],
        ["PermitRequest", 0, 5.0, 10.0, 0.1],
        ["PermitReleased", 1, "answered", 0.1, 3.0, None, 4.0],
        ["BudgetSettled", 0, [1.0, 1.0], [1.0, None]],
        ["LimitsObserved", 0, [1.0, 2.0, None, 4.0]],
        ["RequestFailure", "s", b"k" * 16, "RowError", "text"],
        ["RunReport", [], [[["a"], b"k" * 16, b"\0" * 8]], {1: "7/run"}, "{}", 1],
        ["Ack", 1],
        ["PermitsGranted", 0, 1, 1.0, 1.0, 1.0],
    ]
)
frames = st.lists(samples, max_size=3).map(msgspec.msgpack.encode)


async def receive(data, decoder):
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await Connection(reader, None, decoder).receive()


@fuzz
@given(mutated(frames), st.integers(-3, 3))
def test_frames_of_the_coordinator(loop, frame, wrong):
    data = struct.pack(">I", max(len(frame) + wrong, 0)) + frame
    for decoder in (protocol.FROM_WORKER, protocol.FROM_COORDINATOR):
        try:
            messages = loop.run_until_complete(receive(data, decoder))
        except OSError:
            continue
        if decoder is protocol.FROM_WORKER:
            loop.run_until_complete(handle(messages))


async def handle(messages):
    """Let a coordinator handle messages of a worker; whatever they do, it serves the next worker."""
    coordinator = Coordinator()

    class Quiet:
        def send(self, message):
            pass

        close = send

    worker = WorkerConnection(Quiet())
    try:
        coordinator._receive(worker, messages)
    except Exception:  # noqa: BLE001  _serve closes the connection after any error
        coordinator._disconnect(worker)
    other = WorkerConnection(Quiet())
    subscribe = ["Subscribe", 0, "another", [4, 64, None, None], "b", None]
    coordinator._receive(
        other, msgspec.msgpack.decode(msgspec.msgpack.encode([subscribe]), type=list[protocol.FromWorker])
    )
    assert other.subscriptions
    await asyncio.gather(*coordinator._tasks, return_exceptions=True)


# --- rows of stores

cells = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.binary(max_size=30)
)
KEY = b"k" * 16
TEMPLATES = [
    RequestTemplate(endpoint="m", model="m", parser=TypedParser(parse_ddl(ddl)), answer_type=parse_ddl(ddl))
    for ddl in ("INT", "DATE", "DECIMAL(4,2)", "ARRAY<FLOAT>", "MAP<STRING, TIMESTAMP>", "STRUCT<a: BOOLEAN>")
]
TEMPLATES.append(RequestTemplate(endpoint="m", model="m", parser=VectorParser(2)))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    store = SQLiteStore(tmp_path_factory.mktemp("cache") / "a.sqlite", ttl_s=1e6)
    store._db.execute("PRAGMA synchronous = OFF")
    yield store
    store.close()


@fuzz
@given(st.tuples(*[cells] * 5), st.tuples(cells, cells))
def test_rows_of_the_cache(cache, answer, owner):
    db = cache._db
    db.execute("DELETE FROM answers")
    db.execute("DELETE FROM owners WHERE owner <> ?", (cache._owner,))
    try:
        db.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)", (KEY, *answer))
        db.execute("INSERT INTO owners VALUES (?, ?)", owner)
    except sqlite3.IntegrityError:
        pass  # NULL where the table has none
    found = cache.find([KEY])
    assert set(found.values) | set(found.elsewhere) <= {KEY}
    list(cache.export())
    cache.statistics()
    cache.prune()
    cache.release([KEY])


@fuzz
@given(mutated(st.builds(lambda value: json.dumps(value).encode(), json_values)))
def test_stored_answers(encoded):
    try:
        value = msgspec.json.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    for template in TEMPLATES:
        assert is_answer(value, template) in {True, False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    store = RunStore(str(tmp_path_factory.mktemp("runs") / "r.sqlite"), keep_days=1e6, max_bytes=1e12)
    store._db.execute("PRAGMA synchronous = OFF")
    yield store
    store.close()


@fuzz
@given(cells, cells, st.binary() | mutated(st.builds(lambda value: json.dumps(value).encode(), json_values)), cells)
def test_rows_of_the_run_store(runs, owner, written_at, record, part):
    db = runs._db
    db.execute("DELETE FROM run_records")
    db.execute("DELETE FROM attempts")
    try:
        db.execute("INSERT INTO run_records VALUES ('r', ?, ?, ?)", (owner, written_at, record))
        db.execute("INSERT INTO attempts VALUES ('r', 1, ?)", (part,))
    except sqlite3.IntegrityError:
        pass  # NULL where the table has none
    assert runs.runs() == []
    runs.written_since(0.0)
    assert len(runs.attempts("r")) == 0
    runs.prune()


# --- types

TYPE_TOKENS = """INT STRING ARRAY < > STRUCT MAP , : a b ( ) DECIMAL 10 2 DATE BIGINT VARIANT `x y` NOT NULL COMMENT ''
    -- /* ; INTERVAL"""
type_tokens = st.sampled_from(TYPE_TOKENS.split())
ddl_texts = st.lists(type_tokens, max_size=12).map(" ".join) | st.text(max_size=20)


@fuzz
@given(ddl_texts)
@example("INT ( MAP ( INT")
def test_types(text):
    with expecting(UnsupportedReturnType):
        check_type(parse_ddl(text))


def check_type(sql_type):
    assert parse_ddl(to_ddl(sql_type)) == sql_type
    to_json_schema(sql_type)
    to_duckdb(sql_type)
    to_arrow(sql_type)


# --- replies of a model

fences = st.sampled_from(["", "```", "```json\n", "\n```", "<think>", "</think>", "Here: "])
model_texts = st.builds(
    lambda before, value, after: before + value + after,
    fences,
    json_values.map(json.dumps) | st.text(max_size=20),
    fences,
)
PARSERS = [
    TextParser(),
    TidyTextParser(),
    JSONParser({"type": "object", "properties": {"a": {"type": "integer"}}}),
    ChoiceParser(["yes", "no"]),
    MultiLabelParser(["a", "b"], with_confidence=False),
    MaskParser(["person"]),
    *[template.parser for template in TEMPLATES],
]
REQUEST = Request(RequestTemplate(endpoint="m", model="m", parser=TextParser()), "Ann met 👩🏽‍🚀 Bob. 1")


@fuzz
@given(model_texts)
def test_replies_of_a_model(text):
    for parser in PARSERS:
        with expecting(ReplyParseError, InvalidResponse):
            msgspec.json.encode(parser.read(Response(text=text), REQUEST))


# --- SQL

SQL_TOKENS = r"""SELECT FROM WHERE ai_query( 'm' , s ) t ( ) AS a "b c" 'x''y' $$q$$ CASE WHEN THEN END LIMIT 5 ORDER BY
    GROUP UNION ALL EXPLAIN CREATE TABLE INSERT INTO VALUES (1) JOIN ON = true -- /* */ ; || [ ] { } : :: * ? $1 WITH x
    AS ai_classify( endpoint => TRY( NULL IS NOT IN EXISTS OVER PARTITION ai_agg( MERGE UPDATE SET DELETE PREPARE \ " '
    ` é"""
sql_tokens = st.sampled_from([*SQL_TOKENS.split(), "\0", "\n"])
sql_texts = st.lists(sql_tokens, max_size=25).map(" ".join)
complete = st.lists(sql_tokens, max_size=10).map(
    lambda tokens: f"SELECT ai_query('m', s) AS a FROM t {' '.join(tokens)}"
)


@fuzz
@given(sql_texts | complete, st.sampled_from(["duckdb", "databricks"]))
def test_sql(text, dialect):
    with expecting(AIQueryError):
        statements = parse_text(text, dialect, may_ask=True, declared=())
        assert all(statement.sql or statement.source for statement in statements)
    assert isinstance(redact_sql(text, CONFIG, dialect), str | None)
