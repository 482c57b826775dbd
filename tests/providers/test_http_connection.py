"""A connection has one request at a time, and a reply belongs to that request.

The replies are random and split at random positions. h11 is the oracle.
"""

import asyncio
import random

import h11
import pytest

from aiquery.providers.http.connection import HTTPConnection

CONNECTIONS = 10_000
PATH = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: "


class Transport:
    """A transport of asyncio; the test is the server."""

    def __init__(self):
        self.closed = False

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        assert data
        assert not self.closed

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True

    close = abort


class Oracle:
    """Parses one connection with h11."""

    def __init__(self):
        self.connection = h11.Connection(h11.CLIENT)

    def begin(self):
        """Begin a request; bytes before it belong to no request."""
        assert not self.connection.trailing_data[0]
        self.connection.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "2")]))
        self.connection.send(h11.Data(data=b"{}"))
        self.connection.send(h11.EndOfMessage())
        self.status = None
        self.body = b""
        self.result = None

    def receive(self, data):
        """Receive bytes, or b"" for the end of the connection."""
        try:
            self.connection.receive_data(data)
            while self.result is None:
                event = self.connection.next_event()
                if event is h11.NEED_DATA:
                    break
                self._take(event)
        except h11.RemoteProtocolError as error:
            self.result = self.result or error

    def _take(self, event):
        if isinstance(event, h11.Response):
            self.status = event.status_code
        elif isinstance(event, h11.Data):
            self.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.result = (self.status, self.body)
        elif isinstance(event, h11.ConnectionClosed):
            self.result = ConnectionError("closed")
        elif event is h11.PAUSED:
            self.result = ConnectionError("switched")

    def is_clean(self):
        """Return True if the connection may be used again."""
        states = self.connection.our_state, self.connection.their_state
        if states != (h11.DONE, h11.DONE) or self.connection.trailing_data[0]:
            return False
        self.connection.start_next_cycle()
        return True


INTERIM_STATUSES = [b"100 Continue", b"102 Processing", b"103 Early Hints", b"101 Switching Protocols"]
INTERIM_FIELDS = [b"", b"", b"Link: </a>; rel=preload\r\n", b"Content-Length: 0\r\n", b"Content-Length: 4\r\n"]
STATUSES = [b"200 OK"] * 8 + [b"503 Busy", b"404 Not Found", b"204 No Content", b"304 Not Modified"]
VERSIONS = [b"HTTP/1.1"] * 9 + [b"HTTP/1.0"]
CONNECTION_FIELDS = [b""] * 6 + [b"Connection: close\r\n", b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"]
EXTRA_BYTES = [b""] * 8 + [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", b"\0\0"]


def draw_interim(chance):
    status = chance.choice(INTERIM_STATUSES)
    fields = chance.choice(INTERIM_FIELDS)
    if status.startswith(b"101") and chance.random() < 0.9:
        status = b"100 Continue"
    return b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields)


def draw_chunks(chance, body):
    parts = []
    extension = chance.choice([b"", b"", b";a=b", b';name="x y"'])
    while body:
        size = chance.randint(1, len(body))
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
        body = body[size:]
    trailers = chance.choice([b"", b"", b"X-Checksum: 1\r\n", b"Content-Length: 3\r\n"])
    return b"%b0\r\n%b\r\n" % (b"".join(parts), trailers)


def draw_framing(chance, body):
    """Return the fields with the length of a body, and the body; some lengths are wrong."""
    length = b"Content-Length: %d\r\n" % len(body)
    wrong_size = max(len(body) + chance.randint(-3, 3), 0)
    wrong = b"Content-Length: %d\r\n" % wrong_size
    chunks = b"Transfer-Encoding: chunked\r\n"
    forms = [
        (chunks, draw_chunks(chance, body)),
        (chunks, draw_chunks(chance, body)),
        (wrong, body),
        (length + length, body),
        (length + wrong, body),
        (length + chunks, draw_chunks(chance, body)),
        (b"", body),
        (chunks, body),
        (b"Transfer-Encoding: gzip, chunked\r\n", draw_chunks(chance, body)),
    ]
    return chance.choice([(length, body)] * 8 + forms)


def draw_answer(chance, body):
    """Return the bytes of an answer, valid or not, and whether the connection ends with it."""
    before = b"".join(draw_interim(chance) for _ in range(chance.choice([0, 0, 0, 1, 2])))
    status = chance.choice(STATUSES)
    fields, content = draw_framing(chance, body)
    if status[:3] in {b"204", b"304"} and chance.random() < 0.7:
        fields = content = b""
    version = chance.choice(VERSIONS)
    connection = chance.choice(CONNECTION_FIELDS)
    after = chance.choice(EXTRA_BYTES)
    whole = b"%b%b %b\r\n%bX-Other: 1\r\n%b\r\n%b%b" % (before, version, status, fields, connection, content, after)
    if chance.random() < 0.15:
        return whole[: chance.randint(0, len(whole))], True
    return whole, chance.random() < 0.1


def split(chance, data):
    while data:
        size = chance.choice([1, 2, 7, 40, len(data)])
        yield data[:size]
        data = data[size:]


async def check_connection(chance):
    """Send up to four requests on one connection, compare with the oracle, and return the number of answers."""
    transport = Transport()
    oracle = Oracle()
    answered = 0
    connection = HTTPConnection(transport, transport)
    for number in range(4):
        oracle.begin()
        reply = connection.post(PATH, b"{}")
        data, ends = draw_answer(chance, b'{"answer": %d}' % number)
        for piece in split(chance, data):
            if not transport.closed:
                connection.data_received(piece)
            oracle.receive(piece)
        if not reply.done() or ends:
            connection.eof_received()
            oracle.receive(b"")
        assert reply.done(), "it hangs"
        is_clean = oracle.is_clean()
        if reply.exception() is None:
            response = reply.result()
            assert (response.status, response.body) == oracle.result, data
            answered += 1
            others = [b'"answer": %d' % other for other in range(4) if other != number]
            assert not any(other in response.body for other in others), data
        if not connection.is_open or ends:
            return answered
        assert is_clean, data
    return answered


async def check_connections(seed, count):
    chance = random.Random(seed)
    return sum([await check_connection(chance) for _ in range(count)])


@pytest.mark.parametrize("seed", [1])
def test_no_request_has_the_reply_of_another(seed):
    answered = asyncio.run(check_connections(seed, CONNECTIONS))
    assert answered > 0.5 * CONNECTIONS


def receive_reply(data):
    """Receive bytes after one request; return the connection and the future of its reply."""

    async def go():
        transport = Transport()
        connection = HTTPConnection(transport, transport)
        reply = connection.post(PATH, b"{}")
        connection.data_received(data)
        return connection, reply

    return asyncio.run(go())


def test_interim_replies_are_skipped():
    data = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    connection, reply = receive_reply(data)
    response = reply.result()
    assert (response.status, response.body) == (200, b"{}")
    assert connection.is_open is True


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=0\r\n\r\n{}",
    ],
)
def test_a_doubtful_reply_closes_the_connection(data):
    connection, reply = receive_reply(data)
    if reply.done():
        reply.exception()  # asyncio logs an exception that is not retrieved
    assert connection.is_open is False


def test_an_idle_connection_is_not_used_after_the_timeout_of_the_server():
    async def go():
        transport = Transport()
        connection = HTTPConnection(transport, transport)
        connection.post(PATH, b"{}")
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=99\r\n\r\n{}")
        return connection.max_idle_s

    assert asyncio.run(go()) == pytest.approx(4.5)
