"""--endpoint NAME=URL asks the server for its model; NAME=URL#MODEL names it; --api-key-env gives the key."""

import json

import pytest
from test_cli import run

import aiquery.testing

SQL = "SELECT ai_query('m', 'q') AS a"


class Models(aiquery.testing.EndpointServer):
    """A test endpoint with other models."""

    names = ("org/Big",)

    def encode(self, question, answer):
        if question.path.endswith("/models"):
            return json.dumps({"data": [{"id": name} for name in self.names]}).encode()
        return super().encode(question, answer)


@pytest.fixture
def server():
    with Models() as server:
        yield server


def test_the_only_model_of_the_server_is_used(server):
    assert "echo: q" in run("sql", SQL, "--endpoint", f"m={server.base_url}").stdout
    assert server.requests[-1].body["model"] == "org/Big"
    assert server.calls == 1


def test_the_model_may_be_named(server):
    run("sql", SQL, "--endpoint", f"m={server.base_url}#org/Other:free")
    assert server.requests[-1].body["model"] == "org/Other:free"


def test_several_models_are_listed_unless_one_has_the_name_of_the_endpoint(server):
    server.names = ("a", "b")
    output = run("sql", SQL, "--endpoint", f"m={server.base_url}", status=2)
    assert "the server has 2 models; append # and the name of one: a, b" in " ".join(
        output.stderr.replace("│", " ").split()
    )
    server.names = ("a", "m")
    run("sql", SQL, "--endpoint", f"m={server.base_url}")
    assert server.requests[-1].body["model"] == "m"


def test_a_server_that_lists_no_models_gets_the_name_of_the_endpoint(server):
    server.encode = lambda question, answer: (
        b"no" if question.path.endswith("/models") else Models.encode(server, question, answer)
    )
    run("sql", SQL, "--endpoint", f"m={server.base_url}")
    assert server.requests[-1].body["model"] == "m"


def test_the_key_of_a_url_is_named_by_an_option(server):
    server.api_key = "the-right-key"
    run("sql", SQL, "--endpoint", f"m={server.base_url}", "--api-key-env", "URL_KEY", URL_KEY="the-right-key")
    assert server.requests[-1].headers["authorization"] == "Bearer the-right-key"
    output = run("sql", SQL, "--endpoint", f"m={server.base_url}", "--api-key-env", "NO_KEY", status=1)
    assert "NO_KEY, which is not set" in output.stderr
