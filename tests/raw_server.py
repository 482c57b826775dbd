"""A small server that sends given bytes, and the bytes of HTTP replies."""

import asyncio
import json
import re
import threading

CONTENT_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Raw:
    """A server that answers each request with the bytes that ``answer(prompt, head)`` returns.

    ``closes``: close the connection after each reply.
    """

    def __init__(self, answer, *, closes=False):
        self.answer = answer
        self.closes = closes
        self.served = 0
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)

    async def run(self):
        self.loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        self.writers = set()
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1000)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.over.wait()
            for writer in self.writers:
                writer.close()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = CONTENT_LENGTH.search(head)
                body = await reader.readexactly(int(length[1]))
                prompt = json.loads(body)["messages"][-1]["content"]
                self.served += 1
                writer.write(self.answer(prompt, head))
                await writer.drain()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()

    def endpoint(self, **settings):
        return {"base_url": f"http://127.0.0.1:{self.port}/v1", "model": "m", **settings}


def make_http_reply(document, status="200 OK", fields=""):
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


def echo(prompt, _=None, fields=""):
    return make_http_reply({"choices": [{"message": {"content": f"echo: {prompt}"}}]}, fields=fields)


INTERIM = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
]
