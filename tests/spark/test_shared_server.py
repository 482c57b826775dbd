"""On a server with several users, a session chooses no program, port or configuration, and Spark shows no secret."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aiquery.testing import Answer

pytestmark = pytest.mark.spark
KEY = "sk-S3CRETMARK-key"
HEADER = "S3CRETMARK-header"
SCRIPT = Path(__file__).parent / "locked_server.py"


@pytest.fixture(scope="module")
def marker(tmp_path_factory):
    """A file that exists once the program of a session ran."""
    return tmp_path_factory.mktemp("program") / "ran"


@pytest.fixture(scope="module")
def found(tmp_path_factory, marker):
    from aiquery.testing import EndpointServer

    folder = tmp_path_factory.mktemp("server")
    program = folder / "program.sh"
    program.write_text(f"#!/bin/sh\nid > {marker}\n")
    program.chmod(0o755)
    log = folder / "log"
    log.mkdir()

    def reply(question):
        if question.body["model"] == "bad":
            return Answer(status=400, text=json.dumps(question.headers))
        return Answer(text=f"echo: {question.prompt}")

    with EndpointServer(reply) as server:
        lines = ["[cache]", 'store = "memory:"', "[runs]", f'store = "{folder}/runs.sqlite"']
        for name in ("m", "bad"):
            lines += [f"[endpoints.{name}]", f'base_url = "{server.base_url}"', f'model = "{name}"']
            lines += ['api_key_env = "THE_KEY"', f"[endpoints.{name}.headers]", '"X-Session" = "$THE_HEADER"']
        config = folder / "aiquery.toml"
        config.write_text("\n".join(lines))
        environment = {**os.environ, "THE_KEY": KEY, "THE_HEADER": HEADER}
        command = [sys.executable, str(SCRIPT), str(config), str(program), str(log)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=250, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert any(request.headers.get("authorization") == f"Bearer {KEY}" for request in server.requests)
    return json.loads(done.stdout.splitlines()[-1])


def test_calls_work(found):
    assert found["a call"] == found["reset"] == [["echo: x0"]]


def test_a_session_chooses_no_program(found, marker):
    assert "spark.aiquery.python cannot be set in a session" in found["python"]
    assert not marker.exists()


@pytest.mark.parametrize("name", ["coordinator", "port", "lock"])
def test_a_session_chooses_neither_coordinator_nor_lock(found, name):
    assert "cannot be set in a session" in found[name]


def test_a_session_chooses_no_configuration_where_it_is_locked(found):
    assert "spark.aiquery.config cannot be set in a session" in found["config"]


def test_a_session_does_not_read_the_runs_of_others_where_it_is_locked(found):
    assert "shows the runs of all sessions" in found["runs"]


def test_spark_shows_no_secret(found):
    assert "HTTP 400" in found["an error"]
    assert found["event log"]
    assert len(found["pages"]) == 6
    shown = json.dumps(found)
    assert "S3CRETMARK" not in shown
    assert "AIQUERY_COORDINATOR" not in shown


def test_a_session_chooses_no_command_for_a_key(session, tmp_path):
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "api_key_command": f"touch {tmp_path}/ran"}
    session.conf.set("spark.aiquery.config", json.dumps({"endpoints": {"m": endpoint}}))
    try:
        with pytest.raises(Exception, match=r"endpoints\.m\.api_key_command runs a program on the executors"):
            session.sql("SELECT ai_query('m', 'x' || id) FROM range(1)").collect()
    finally:
        session.conf.unset("spark.aiquery.config")
    assert not (tmp_path / "ran").exists()
