"""A schema in a statement never makes this process fetch an address or read a file."""

import json
import socket
import threading
import time

import pytest

import aiquery
from aiquery.errors import ReplyParseError, UnsupportedResponseFormat
from aiquery.requests.json_schema import build_validator
from aiquery.requests.parsing import JSONParser
from aiquery.requests.request import Response

SECRET = "PASSWORD-IN-A-FILE"


@pytest.fixture
def listener():
    """Return a server that counts its connections."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    connections = []
    is_over = threading.Event()

    def accept():
        while not is_over.is_set():
            try:
                connections.append(server.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/schema", connections
    is_over.set()
    thread.join()
    for connection in connections:
        connection.close()
    server.close()


@pytest.fixture
def addresses(listener, tmp_path):
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"db": {"password": SECRET}}))
    return [listener[0], f"{listener[0]}#/a", f"file://{file}", f"file://{file}#/db/password", "file:///etc/passwd"]


def make_schemas(address):
    return [
        {"$ref": address},
        {"$dynamicRef": address},
        {"$schema": address},
        {"type": "object", "properties": {"a": {"items": {"$ref": address}}}},
        {"$id": address, "$ref": "other.json"},
        {"$defs": {"a": {"$ref": address}}, "$ref": "#/$defs/a"},
        {"allOf": [{"if": {"$ref": address}, "then": False}]},
    ]


def test_a_schema_with_an_outside_address_is_refused_without_a_request(addresses, listener):
    schemas = [schema for address in addresses for schema in make_schemas(address)]
    with aiquery.connect(config={"endpoints": {"m": {"provider": "fake"}}, "cache": {"store": "memory:"}}) as con:
        for schema in schemas:
            form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
            with pytest.raises(UnsupportedResponseFormat, match="JSON Schema") as error:
                con.sql("SELECT ai_query('m', 'x', responseFormat => ?)", params=[json.dumps(form)])
            assert SECRET not in str(error.value)
    assert listener[1] == []


def test_a_parser_that_a_worker_builds_refuses_it_too(addresses, listener):
    schemas = [schema for address in addresses for schema in make_schemas(address)]
    for schema in schemas:
        with pytest.raises(ValueError, match=r"outside the schema|meta-schema|does not match"):
            JSONParser(schema)
    assert listener[1] == []


def test_the_error_says_what_is_allowed():
    with pytest.raises(ValueError, match=r"http://a\.example/b' is outside the schema; \$ref may only name a part"):
        build_validator({"$ref": "http://a.example/b"})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"},
        {"$id": "https://example.com/mine", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    ],
)
def test_a_schema_that_refers_to_itself_and_to_the_standard_works(schema):
    validator = build_validator(schema)
    assert validator.is_valid("text")
    assert not validator.is_valid(1)


def test_a_schema_that_refers_to_itself_is_checked_in_little_time():
    """A violation has exponentially many reasons: 14 s for 246 bytes."""
    node = {
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/any"}, "right": {"$ref": "#/$defs/any"}},
        "required": ["left"],
    }
    kinds = {f"k{i}": {**node, "title": str(i)} for i in range(3)}
    union = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds]}
    schema = {"$defs": {**kinds, "any": union}, "$ref": "#/$defs/any"}
    text = '{"left":' * 20 + '"x"' + "}" * 20
    began = time.process_time()
    with pytest.raises(ReplyParseError, match="the reply violates the schema: "):
        JSONParser(schema).read(Response(text=text), None)
    assert time.process_time() - began < 5
