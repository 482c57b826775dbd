"""A reply belongs to the request that is alone on its connection: random replies, cut anywhere; h11 is the oracle."""

import asyncio
import random

import h11
import pytest

from aiquery.providers.wire import HTTPConnection

RUNS = 10_000
PATH = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: "


class Transport:
    """What asyncio would give; the test plays the other side."""

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
    """h11's reading of one connection."""

    def __init__(self):
        self.connection = h11.Connection(h11.CLIENT)

    def ask(self):
        """Begin a request; what was received before it belongs to nobody."""
        assert not self.connection.trailing_data[0]
        self.connection.send(
            h11.Request(
                method="POST",
                target="/",
                headers=[("Host", "h"), ("Content-Length", "2")],
            )
        )
        self.connection.send(h11.Data(data=b"{}"))
        self.connection.send(h11.EndOfMessage())
        self.status, self.body, self.result = None, b"", None

    def receive(self, data):
        """Take bytes, or b"" for the end of the connection."""
        try:
            self.connection.receive_data(data)
            while (
                self.result is None
                and (event := self.connection.next_event()) is not h11.NEED_DATA
            ):
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
        """Say whether the connection may be used again."""
        states = self.connection.our_state, self.connection.their_state
        if states != (h11.DONE, h11.DONE) or self.connection.trailing_data[0]:
            return False
        self.connection.start_next_cycle()
        return True


def interim(chance):
    status = chance.choice(
        [
            b"100 Continue",
            b"102 Processing",
            b"103 Early Hints",
            b"101 Switching Protocols",
        ]
    )
    fields = chance.choice(
        [
            b"",
            b"",
            b"Link: </a>; rel=preload\r\n",
            b"Content-Length: 0\r\n",
            b"Content-Length: 4\r\n",
        ]
    )
    if status.startswith(b"101") and chance.random() < 0.9:
        status = b"100 Continue"
    return b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields)


def chunked(chance, body):
    parts, extension = [], chance.choice([b"", b"", b";a=b", b';name="x y"'])
    while body:
        size = chance.randint(1, len(body))
        parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
        body = body[size:]
    trailers = chance.choice([b"", b"", b"X-Checksum: 1\r\n", b"Content-Length: 3\r\n"])
    return b"%b0\r\n%b\r\n" % (b"".join(parts), trailers)


def framed(chance, body):
    """Return the fields that say how long a body is, and the body; some lie."""
    length = b"Content-Length: %d\r\n" % len(body)
    lie = b"Content-Length: %d\r\n" % max(len(body) + chance.randint(-3, 3), 0)
    chunks = b"Transfer-Encoding: chunked\r\n"
    kinds = [(length, body)] * 8 + [
        (chunks, chunked(chance, body)), (chunks, chunked(chance, body)), (lie, body), (length + length, body),
        (length + lie, body), (length + chunks, chunked(chance, body)), (b"", body), (chunks, body),
        (b"Transfer-Encoding: gzip, chunked\r\n", chunked(chance, body)),
    ]  # fmt: skip
    return chance.choice(kinds)


def answer(chance, body):
    """Return the bytes of an answer, or of something like it, and whether the connection ends with it."""
    before = b"".join(interim(chance) for _ in range(chance.choice([0, 0, 0, 1, 2])))
    status = chance.choice(
        [b"200 OK"] * 8
        + [b"503 Busy", b"404 Not Found", b"204 No Content", b"304 Not Modified"]
    )
    fields, content = framed(chance, body)
    if status[:3] in {b"204", b"304"} and chance.random() < 0.7:
        fields, content = b"", b""
    version = chance.choice([b"HTTP/1.1"] * 9 + [b"HTTP/1.0"])
    kept = chance.choice(
        [b""] * 6
        + [
            b"Connection: close\r\n",
            b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        ]
    )
    after = chance.choice(
        [b""] * 8
        + [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", b"\0\0"]
    )
    whole = b"%b%b %b\r\n%bX-Other: 1\r\n%b\r\n%b%b" % (
        before,
        version,
        status,
        fields,
        kept,
        content,
        after,
    )
    if chance.random() < 0.15:
        return whole[: chance.randint(0, len(whole))], True
    return whole, chance.random() < 0.1


def pieces(chance, data):
    while data:
        size = chance.choice([1, 2, 7, 40, len(data)])
        yield data[:size]
        data = data[size:]


async def one_connection(chance):
    """Play up to four requests on one connection; return how many were answered, as the oracle reads it, too."""
    transport, oracle, answered = Transport(), Oracle(), 0
    wire = HTTPConnection(transport, transport)
    for number in range(4):
        oracle.ask()
        reply = wire.post(PATH, b"{}")
        data, ends = answer(chance, b'{"answer": %d}' % number)
        for piece in pieces(chance, data):
            if not transport.closed:
                wire.data_received(piece)
            oracle.receive(piece)
        if not reply.done() or ends:
            wire.eof_received()
            oracle.receive(b"")
        assert reply.done(), "it hangs"
        is_clean = oracle.is_clean()
        if reply.exception() is None:
            found = reply.result()
            assert (found.status, found.body) == oracle.result, data
            answered += 1
            others = [b'"answer": %d' % other for other in range(4) if other != number]
            assert not any(other in found.body for other in others), data
        if not wire.is_open or ends:
            return answered
        assert is_clean, data
    return answered


async def connections(seed, runs):
    chance = random.Random(seed)
    return sum([await one_connection(chance) for _ in range(runs)])


@pytest.mark.parametrize("seed", [1])
def test_no_request_gets_another_ones_reply(seed):
    answered = asyncio.run(connections(seed, RUNS))
    assert answered > 0.5 * RUNS


def once(data):
    async def go():
        transport = Transport()
        wire = HTTPConnection(transport, transport)
        reply = wire.post(PATH, b"{}")
        wire.data_received(data)
        error = reply.exception() if reply.done() else None
        return (
            reply.result() if reply.done() and error is None else error
        ), wire.is_open

    return asyncio.run(go())


def test_interim_replies_are_skipped():
    data = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    reply, is_open = once(data)
    assert (reply.status, reply.body, is_open) == (200, b"{}", True)


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=0\r\n\r\n{}",
])  # fmt: skip
def test_what_leaves_the_connection_in_doubt_closes_it(data):
    assert once(data)[1] is False


def test_an_idle_connection_is_kept_no_longer_than_the_other_side_says():
    async def go():
        transport = Transport()
        wire = HTTPConnection(transport, transport)
        wire.post(PATH, b"{}")
        wire.data_received(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5, max=99\r\n\r\n{}"
        )
        return wire.keep_s

    assert asyncio.run(go()) == pytest.approx(4.5)
