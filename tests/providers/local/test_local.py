"""The packaged SmolLM2 in the process: answers, constrained decoding, prefix reuse, cancellation."""

import asyncio
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiquery.config.credentials import Credentials
from aiquery.config.settings import Config
from aiquery.errors import ModelFileError, RequestFailed
from aiquery.functions.ai_query import AI_QUERY
from aiquery.providers.local import LocalProvider
from aiquery.providers.local.gguf_file import check_gguf
from aiquery.providers.local.hub import pick_file
from aiquery.providers.local.model_file import check_model, find_model, is_path
from aiquery.requests.request import Request

pytestmark = pytest.mark.local_model
NAME = "local:smollm2-135m-instruct"
TYPES = {
    "BOOLEAN": bool,
    "INT": int,
    "DOUBLE": float,
    "ARRAY<STRING>": list,
    "STRUCT<name: STRING, address: STRUCT<city: STRING, zip: INT>>": dict,
}
SHORT = "modelParameters => {'seed': 1}"


@pytest.fixture(scope="module")
def con():
    import aiquery

    with aiquery.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT i AS id, 'Ticket ' || i || ': my card was lost in town ' || i "
            "AS s FROM range(4) r(i)"
        )
        yield con


def test_the_model_answers_and_its_tokens_are_counted(con):
    sql = f"SELECT ai_query('{NAME}', 'Name a colour.', {SHORT})"
    ((answer,),) = con.sql(sql).fetchall()
    assert len(answer) > 2
    attempt = list(con.ledger.attempts())[-1]
    assert attempt.ending == "answered"
    assert attempt.usage.tokens_in > 5
    assert attempt.usage.tokens_out > 1


@pytest.mark.parametrize("ddl", TYPES)
def test_every_constrained_reply_is_valid(con, ddl):
    rows = con.sql(f"SELECT ai_query('{NAME}', s, returnType => '{ddl}', {SHORT}) FROM t").fetchall()
    assert len(rows) == 4
    assert all(isinstance(row[0], TYPES[ddl]) for row in rows)


def test_an_enum_constrains_the_answer(con):
    schema = {"type": "object", "properties": {"s": {"enum": ["GOOD", "BAD"]}}, "required": ["s"]}
    form = json.dumps({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    rows = con.sql(f"SELECT ai_query('{NAME}', s, responseFormat => '{form}', {SHORT}) FROM t").fetchall()
    assert {json.loads(row[0])["s"] for row in rows} <= {"GOOD", "BAD"}


def test_a_shared_prefix_is_reused(con):
    prefix = "The terms of the bank are long and boring. " * 10
    parameters = "modelParameters => {'max_tokens': 4}"
    con.sql(f"SELECT ai_query('{NAME}', '{prefix}' || id, {parameters}) FROM t")
    con.sql(f"SELECT ai_query('{NAME}', '{prefix} again' || id, {parameters}) FROM t")
    cached = [attempt.usage.tokens_cached for attempt in con.ledger.attempts()][-4:]
    assert min(cached) > 80


def test_a_text_that_is_too_long_fails_its_row_only(con):
    rows = con.sql(f"""SELECT ai_query('{NAME}', s, failOnError => false, {SHORT}).errorMessage
        FROM (VALUES (1, 'Say hi.'), (2, repeat('long ', 200000)), (3, 'Say ho 🤖'), (4, 'a' || chr(0) || 'b'), (5, ''))
        v(i, s) ORDER BY i""").fetchall()
    assert [row[0] is None for row in rows] == [True, False, True, True, True]
    assert "context" in rows[1][0]


def test_endpoints_connections_and_statements_share_one_copy_of_a_model(con):
    import aiquery
    from aiquery.providers.local.shared_model import list_loaded

    endpoint = {"provider": "local", "model": "smollm2-135m-instruct"}
    config = {"endpoints": {"a": endpoint, "b": endpoint}, "cache": {"store": "memory:"}}
    ask = "modelParameters => {'max_tokens': 2}"
    with aiquery.connect(config=config) as one, aiquery.connect(config=config) as two, ThreadPoolExecutor(4) as pool:
        statements = [f"SELECT ai_query('{name}', 'hi {i}', {ask})" for i, name in enumerate("abab")]
        cursors = [one, two, one.cursor(), two.cursor()]
        list(pool.map(lambda pair: pair[0].sql(pair[1]).fetchall(), zip(cursors, statements, strict=True)))
        two.sql("SELECT ai_classify('hi', ['greeting', 'farewell']), ai_embed('hi')")
        loaded = [settings.path.name.partition(".")[0] for settings in list_loaded()]
    assert sorted(loaded) == ["all-minilm-l6-v2", "smollm2-135m-instruct"]


def test_cancelling_stops_the_model():
    async def go():
        call = AI_QUERY.bind({"endpoint": NAME, "modelParameters": {"max_tokens": 1500}}, Config())
        provider = await LocalProvider.open(call.endpoint, Credentials())
        completion = asyncio.create_task(
            provider.complete(Request(call.template, "Tell a very long story about a whale."))
        )
        await asyncio.sleep(1.5)
        completion.cancel()
        with pytest.raises(asyncio.CancelledError):
            await completion
        started = time.monotonic()
        await provider.close()  # it returns when the model's threads have ended
        return time.monotonic() - started

    assert asyncio.run(go()) < 20  # 1,500 tokens would take far longer


def test_a_text_that_the_model_cannot_read_is_a_row_error():
    async def go():
        call = AI_QUERY.bind({"endpoint": NAME}, Config())
        provider = await LocalProvider.open(call.endpoint, Credentials())
        try:
            await provider.complete(Request(call.template, "a\ud800b"))
        finally:
            await provider.close()

    with pytest.raises(RequestFailed, match="refused"):
        asyncio.run(go())


def test_the_file_of_a_model_is_found_and_checked(tmp_path):
    assert find_model("smollm2-135m-instruct").name == "smollm2-135m-instruct.q8_0-2.gguf"
    assert is_path("./a.gguf")
    assert is_path("models/a.gguf")
    assert not is_path("org/repo/a.gguf")
    check_model("org/repo:Q8_0")
    (tmp_path / "x.gguf").write_bytes(b"GG")
    with pytest.raises(ModelFileError, match="is not GGUF"):
        check_gguf(tmp_path / "x.gguf")
    with pytest.raises(ModelFileError, match="cannot be read"):
        check_gguf(tmp_path / "missing.gguf")
    with pytest.raises(ModelFileError, match=r"must end with \.gguf"):
        check_gguf(tmp_path)


def test_a_gguf_that_does_not_load(tmp_path):
    import aiquery

    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with aiquery.connect() as other, pytest.raises(ModelFileError, match="could not be loaded"):
        other.sql(f"SELECT ai_query('local:{tmp_path}/broken.gguf', 'hi')")


def test_the_file_of_a_hub_repository_is_picked_by_its_quantization():
    files = ["README.md", "m-Q4_K_M.gguf", "m-Q8_0.gguf"]
    assert pick_file(files, "q8_0", "org/m") == "m-Q8_0.gguf"
    assert pick_file(["only.gguf"], "Q4_K_M", "org/m") == "only.gguf"
    assert pick_file(["mmproj-Q8_0.gguf", "m-Q8_0.gguf"], "Q8_0", "org/m") == "m-Q8_0.gguf"
    message = r"no GGUF file for 'F16'; it has: m-Q4_K_M.gguf, m-Q8_0.gguf"
    with pytest.raises(ModelFileError, match=message):
        pick_file(files, "F16", "org/m")


def test_with_one_slot_the_answer_of_a_row_does_not_depend_on_the_other_rows():
    """The rows share words that are read once, so that each slot goes on from another token than alone."""
    import aiquery

    endpoint = {"provider": "local", "model": "smollm2-135m-instruct", "options": {"slots": 1, "threads": 2}}
    config = {"endpoints": {"m": endpoint}, "cache": {"store": "memory:"}}
    words = "You are a terse assistant of a parcel company. Answer in a few words, and never invent anything. " * 2
    ask = (
        f"SELECT ai_query('m', '{words} Customer ' || i || ' bought ' || (i * 7) || ' boxes. How many boxes?', "
        "modelParameters => {'max_tokens': 10}) FROM range(12) t(i)"
    )
    with aiquery.connect(config=config) as con:
        together = con.sql(f"{ask} ORDER BY i").fetchall()
    alone = []
    for i in range(0, 12, 3):
        with aiquery.connect(config=config) as con:
            alone += con.sql(f"{ask} WHERE i = {i}").fetchall()
    assert alone == together[::3]


def test_a_process_whose_answers_are_all_cached_ends_while_the_model_is_being_loaded(tmp_path):
    code = (
        "import aiquery\n"
        f"con = aiquery.connect(config={{'cache': {{'store': {str(tmp_path / 'answers.db')!r}}}}})\n"
        f"print(con.sql(\"SELECT ai_query('{NAME}', 'hi', modelParameters => {{'max_tokens': 3}})\").fetchall())"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout
        assert done.stderr == ""


def test_the_interpreter_ends_with_the_model_loaded():
    code = f"""
import aiquery
con = aiquery.connect()
print(con.sql("SELECT ai_query('{NAME}', 'Say hi', modelParameters => {{'max_tokens': 3}})").fetchall())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout
    assert process.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_with_a_loaded_model_loads_its_own_and_both_go_on():
    """The library's own threads do not run in the child, and the end of a model would wait for them for ever."""
    code = f"""
import os, aiquery
from aiquery.providers.local.shared_model import list_loaded
def ask(con, text):
    prompt = f"SELECT ai_query('{NAME}', '{{text}}', modelParameters => {{{{'max_tokens': 3}}}})"
    return con.sql(prompt).fetchall()
def count():
    return len(list_loaded())
config = {{"cache": {{"store": "memory:"}}}}
con = aiquery.connect(config=config)
first = ask(con, "Name a colour.")
pid = os.fork()
if pid == 0:
    for i in range(2):
        with aiquery.connect(config=config) as own:
            assert ask(own, "Name a colour.") == first
            assert count() == 1
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), count(), ask(con, "Name a town.") != [])
con.close()
print(count())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "7 1 True\n0\n", done.stderr
