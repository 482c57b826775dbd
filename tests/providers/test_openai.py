"""The OpenAI provider: sent requests, parsed replies, and secrets that never appear in a text."""

import asyncio
import http.server
import logging
import ssl
import subprocess
import threading
from base64 import b64decode

import pytest

from aiquery.config.credentials import Credentials, read_credentials
from aiquery.config.endpoint import Endpoint
from aiquery.errors import ConfigError, RequestFailed
from aiquery.providers.openai import OpenAIProvider
from aiquery.requests.parsing import TextParser
from aiquery.requests.request import Request, RequestTemplate, Response, Usage
from aiquery.testing import Answer

SECRET = "sk-very-secret"


def send(endpoint, *contents, credentials=None):
    """Send several requests to one provider at the same time; return replies and errors."""
    template = RequestTemplate(
        endpoint=endpoint.name, model=endpoint.model, parser=TextParser(), parameters={"temperature": 0.0}
    )

    async def go():
        provider = await OpenAIProvider.open(endpoint, credentials or Credentials())
        try:
            requests = (provider.complete(Request(template, content)) for content in contents)
            return await asyncio.gather(*requests, return_exceptions=True)
        finally:
            await provider.close()

    return asyncio.run(go())


def test_replies_are_in_order_and_have_their_usage(serve):
    server = serve(latency=0.01)
    replies = send(Endpoint(name="m", model="x", base_url=server.base_url), *[f"text {i}" for i in range(50)])
    assert [reply.text for reply in replies] == [f"echo: text {i}" for i in range(50)]
    assert all(reply.usage.tokens_in and reply.usage.tokens_out for reply in replies)


def test_cached_tokens_are_counted(serve):
    server = serve()
    endpoint = Endpoint(name="m", model="x", base_url=server.base_url)
    first = send(endpoint, "prefix " * 100 + "a")[0]
    second = send(endpoint, "prefix " * 100 + "b")[0]
    assert (first.usage.tokens_cached, second.usage.tokens_cached) == (0, 160)


def test_headers_and_key_are_sent_and_never_shown(serve, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    server = serve(lambda q: Answer(status=400, text=f"your key {q.headers['authorization']} is odd"), api_key=SECRET)
    monkeypatch.setenv("THE_KEY", SECRET)
    monkeypatch.setenv("THE_TEAM", "team-secret")
    endpoint = Endpoint(
        name="m", model="x", base_url=server.base_url, api_key_env="THE_KEY", headers={"X-Team": "$THE_TEAM"}
    )
    error = send(endpoint, "q", credentials=read_credentials(endpoint))[0]
    assert isinstance(error, RequestFailed)
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert server.requests[0].headers["x-team"] == "team-secret"
    for shown in (str(error), repr(error), caplog.text):
        assert "secret" not in shown
    without_key = Endpoint(name="m", model="x", base_url=server.base_url)
    assert send(without_key, "q")[0].status == 401


def test_embeddings(serve):
    server = serve(dimensions=3)
    reply = send(Endpoint(name="m", model="e", base_url=server.base_url, task="embedding"), ["text", "other"])[0]
    assert [len(b64decode(vector.values)) for vector in reply.vectors] == [12, 12]
    assert reply.usage == Usage(4)
    assert server.requests[0].body["input"] == ["text", "other"]


def test_a_missing_url_is_an_error_before_any_request():
    with pytest.raises(ConfigError, match="base_url"):
        OpenAIProvider.check(Endpoint(name="m"))


@pytest.mark.parametrize("url", ["127.0.0.1/v1", "ftp://127.0.0.1/v1", "http://"])
def test_a_base_url_that_is_not_a_url_is_an_error(url):
    error = send(Endpoint(name="m", base_url=url, max_attempts=1), "q")[0]
    assert isinstance(error, RequestFailed)
    assert "base_url" in str(error)


def test_requests_are_sent_through_the_proxy(serve):
    proxy = serve()
    endpoint = Endpoint(name="m", model="x", base_url="http://models.invalid/v1", proxy=proxy.base_url[:-3])
    reply = send(endpoint, "through")[0]
    assert reply.text == "echo: through"
    assert proxy.requests[0].path == "http://models.invalid/v1/chat/completions"


def test_a_redirect_to_another_server_is_not_followed(serve):
    elsewhere = serve()
    server = serve(lambda _: Answer(status=307, headers={"Location": elsewhere.base_url + "/chat/completions"}))
    error = send(Endpoint(name="m", base_url=server.base_url), "q")[0]
    assert error.status == 307
    assert f"redirects to another server: {elsewhere.base_url}/chat/completions. Set base_url" in error.message
    assert elsewhere.calls == 0


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "location", ["/v2/chat/completions", "{base}/../v2/chat/completions", "../../v2/chat/completions"]
)
def test_a_redirect_to_the_same_server_is_followed_with_the_key(serve, monkeypatch, status, location):
    monkeypatch.setenv("THE_KEY", SECRET)

    def answer(question):
        if question.path.startswith("/v2/"):
            return Answer()
        return Answer(status=status, headers={"Location": location.format(base=server.base_url)})

    server = serve(answer, api_key=SECRET)
    endpoint = Endpoint(name="m", base_url=server.base_url, api_key_env="THE_KEY")
    reply = send(endpoint, "q", credentials=read_credentials(endpoint))[0]
    assert reply.text == "echo: q"
    assert [question.path for question in server.requests] == ["/v1/chat/completions", "/v2/chat/completions"]


@pytest.mark.parametrize(
    ("status", "location", "error"),
    [
        (301, "/v2/chat/completions", "without the request's body"),
        (302, "/sign-in", "/sign-in, without"),
        (307, "", "without a valid address"),
        (307, "http://[", "without a valid address"),
        (307, "https://127.0.0.1/v1/chat/completions", "to another server: https://127.0.0.1/v1"),
        (307, "/v1/chat/completions", "more than 5 redirects"),
    ],
)
def test_redirects_that_are_not_followed_are_named(serve, status, location, error):
    server = serve(lambda _: Answer(status=status, headers={"Location": location}))
    found = send(Endpoint(name="m", base_url=server.base_url), "q")[0]
    assert error in found.message
    assert server.calls <= 6


def test_lone_surrogates_are_a_row_error(serve):
    server = serve()
    replies = send(Endpoint(name="m", base_url=server.base_url), "a\ud800b", "fine")
    assert "surrogates" in str(replies[0])
    assert isinstance(replies[1], Response)


@pytest.fixture
def certificate(tmp_path):
    """The files of a self-signed certificate for localhost."""
    key = tmp_path / "key.pem"
    cert = tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    return key, cert


class OverTLS(http.server.BaseHTTPRequestHandler):
    """Answers any POST with one good reply."""

    def do_POST(self):
        body = b'{"choices":[{"message":{"content":"over TLS"},"finish_reason":"stop"}]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


ssl_contexts = {}
"""Of the servers of this file, by port."""


@pytest.fixture
def tls_server(certificate):
    """The port of a server with the certificate, and the file of the certificate."""
    key, cert = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OverTLS)
    server.handle_error = lambda *_: None  # the test expects a failed handshake
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    ssl_contexts[server.server_port] = context
    yield server.server_port, cert
    server.shutdown()
    thread.join()
    server.server_close()


def test_tls_settings(tls_server):
    port, cert = tls_server
    base_url = f"https://localhost:{port}/v1"

    def send_over_tls(**settings):
        (reply,) = send(Endpoint(name="m", base_url=base_url, **settings), "q")
        return reply

    assert send_over_tls(tls_ca=str(cert)).text == "over TLS"
    assert send_over_tls(tls_verify=False).text == "over TLS"
    error = send_over_tls()
    assert "certificate" in str(error)
    assert not error.retryable
    with pytest.raises(ConfigError, match="tls_ca"):
        send_over_tls(tls_ca="/nowhere.pem")


def test_a_certificate_of_the_client(tls_server, certificate, tmp_path):
    port, cert = tls_server
    tls_server_context = ssl_contexts[port]
    tls_server_context.verify_mode = ssl.CERT_REQUIRED
    tls_server_context.load_verify_locations(cert)
    key, _ = certificate
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + cert.read_text())

    def send_over_tls(**settings):
        endpoint = Endpoint(name="m", base_url=f"https://localhost:{port}/v1", max_attempts=1, **settings)
        return send(endpoint, "q")[0]

    assert send_over_tls(tls_ca=str(cert), tls_cert=str(cert), tls_key=str(key)).text == "over TLS"
    assert send_over_tls(tls_ca=str(cert), tls_cert=str(both)).text == "over TLS"
    assert send_over_tls(tls_verify=False, tls_cert=str(both)).text == "over TLS"
    assert isinstance(send_over_tls(tls_ca=str(cert)), RequestFailed)
    for settings in (
        {"tls_cert": "/nowhere.pem"},
        {"tls_cert": str(cert)},
        {"tls_cert": str(cert), "tls_key": str(cert)},
    ):
        with pytest.raises(ConfigError, match="tls_cert"):
            send_over_tls(tls_ca=str(cert), **settings)


def test_an_encrypted_key_of_a_client_asks_for_no_password(certificate, tmp_path):
    key, cert = certificate
    command = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", key, "-out", tmp_path / "locked.pem"]
    subprocess.run(command, check=True, capture_output=True)
    endpoint = Endpoint(
        name="m", base_url="https://localhost:9/v1", tls_cert=str(cert), tls_key=str(tmp_path / "locked.pem")
    )
    with pytest.raises(ConfigError, match="without a password"):
        send(endpoint, "q")
