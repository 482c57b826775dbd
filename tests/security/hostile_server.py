"""A server whose replies cost as much memory as a server can make them. The prompt names the reply.

As a program it prints its port and serves until its standard input closes.
"""

import json
import socketserver
import sys
import threading
import zlib

MEGABYTE = 2**20
CHAT = b'{"choices":[{"message":{"content":"%b"}}]}'


def compress(chunks):
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*map(compressor.compress, chunks), compressor.flush()])


def reply(body, fields=b"", status=b"200 OK"):
    yield b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n" % (status, len(body), fields)
    yield body


def chat(content, fields=b""):
    yield from reply(CHAT % content, fields)


def gzip_bomb():
    yield from reply(compress([bytes(MEGABYTE)] * 1024), b"Content-Encoding: gzip\r\n")


def gzip_of_gzip_members():
    yield from reply(compress([b"{}"]) * 100_000, b"Content-Encoding: gzip\r\n")


def endless_chunks():
    yield CHUNKED
    for _ in range(1024):
        yield b"100000\r\n" + bytes(MEGABYTE) + b"\r\n"


def flood(start, filler):
    """Send one part of a reply that does not end within 400 MB."""
    yield start
    for _ in range(400):
        yield filler * MEGABYTE


def many_headers():
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(400_000):
        yield b"X-RateLimit-%d: %b\r\n" % (number, b"v" * 900)


def endless_interim_replies():
    for _ in range(400_000):
        yield b"HTTP/1.1 103 Early Hints\r\nX-RateLimit-A: %b\r\n\r\n" % (b"v" * 900)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

REPLIES = {
    "gzip bomb": gzip_bomb,
    "gzip members": gzip_of_gzip_members,
    "endless chunks": endless_chunks,
    "chunk extensions": lambda: flood(CHUNKED + b"2;a=", b"e"),
    "trailers": lambda: flood(CHUNKED + b"2\r\n{}\r\n0\r\nX-RateLimit-A: ", b"t"),
    "one long header": lambda: flood(b"HTTP/1.1 200 OK\r\nRetry-After: ", b"h"),
    "many headers": many_headers,
    "interim replies": endless_interim_replies,
    "long status line": lambda: flood(b"HTTP/1.1 200 ", b"O"),
    "a long body": lambda: reply(b" " * 400 * MEGABYTE),
    "four bytes per character": lambda: chat("😀".encode() + b"a" * 4_000_000),
    "empty objects": lambda: chat(b"[" + b"{}," * 1_300_000 + b"{}]"),
    "escaped empty lists": lambda: chat(b"[" + rb"\u005b\u005d," * 300_000 + rb"\u005b\u005d]"),
    "floats": lambda: chat(b"[" + b"1.5," * 260_000 + b"1.5]"),
    "too many floats": lambda: chat(b"[" + b"1.5," * 1_000_000 + b"1.5]"),
    "short strings": lambda: chat(b"[" + rb"\"aa\"," * 208_000 + rb"\"aa\"]"),
    "lists": lambda: chat(b"[" + b"[]," * 199_000 + b"[]]"),
    "four bytes per character of JSON": lambda: chat(rb"[\"" + "😀".encode() + b"a" * 1_000_000 + rb"\"]"),
    "many choices": lambda: reply(b'{"choices":[' + b"{}," * 1_300_000 + b"{}]}"),
    "many tokens": lambda: reply(
        b'{"choices":[{"message":{"content":"x"},"logprobs":{"content":['
        + b'{"token":"a","logprob":-1.5},' * 140_000
        + b'{"token":"a","logprob":-1}]}}]}'
    ),
    "an error of floats": lambda: reply(b"[" + b"1.5," * 1_000_000 + b"1.5]", status=b"400 Bad Request"),
    "an error of empty lists": lambda: reply(b"[" + b"[]," * 1_300_000 + b"[]]", status=b"400 Bad Request"),
    "an error object": lambda: reply(b'{"error":[' + b'"aa",' * 800_000 + b"1]}"),
    "deep lists": lambda: chat(b"[" * 2_000_000),
    "a deep error": lambda: reply(b"[" * 150_000, status=b"400 Bad Request"),
    "a deep reply": lambda: reply(b'{"x":' * 150_000),
    "vectors of floats": lambda: reply(b'{"data":[{"embedding":[' + b"0," * 12_000_000 + b"0]}]}"),
    "many vectors": lambda: reply(b'{"data":[' + b'{"embedding":""},' * 240_000 + b"{}]}"),
    "one long vector": lambda: reply(b'{"data":[{"embedding":[' + b"0," * 65_000 + b"0]}]}"),
}


class Handler(socketserver.StreamRequestHandler):
    """Sends the reply that the prompt, or the text to embed, names."""

    def handle(self):
        length = 0
        for line in self.rfile:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if not line.strip():
                break
        document = json.loads(self.rfile.read(length))
        name = document["input"][0] if "input" in document else document["messages"][-1]["content"]
        pieces = REPLIES[name]() if name in REPLIES else chat(b"[1.5]")
        try:
            for piece in pieces:
                self.wfile.write(piece)
        except ConnectionError:
            pass


def main():
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
