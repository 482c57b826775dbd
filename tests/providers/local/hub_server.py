"""A hub on loopback: the parts of the Hugging Face hub's interface that its client uses for one file."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HubServer:
    """Serves files of one repository.

    break_after  closes the first download after so many bytes
    pause_after  the first download stops there until the client is gone, and sets ``is_paused``
    """

    def __init__(self, repo, files, *, break_after=None, pause_after=None, wrong_hash=False):
        self.repo = repo
        self.files = files
        self.break_after = break_after
        self.pause_after = pause_after
        self.is_paused = threading.Event()
        self.wrong_hash = wrong_hash
        self.ranges = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        if self.path.startswith("/api/models/"):
            self._send_json(self._describe())
        else:
            self._answer(with_body=True)

    def _describe(self):
        if "/tree/" in self.path:
            return [
                {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                for name, data in self.hub.files.items()
            ]
        siblings = [{"rfilename": name} for name in self.hub.files]
        return {"id": self.hub.repo, "sha": "a" * 40, "siblings": siblings}

    def _send_json(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, *, with_body):
        name = self.path.split("/resolve/", 1)[-1].split("/", 1)[-1].split("?")[0]
        data = self.hub.files.get(name)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and with_body:
            start = int(asked[1])
        digest = hashlib.sha256(data + b"x" * self.hub.wrong_hash).hexdigest()
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Linked-ETag", f'"{digest}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not with_body:
            return
        self.hub.ranges.append(start)
        end = len(data)
        if self.hub.break_after is not None:
            end = self.hub.break_after
            self.hub.break_after = None
        if self.hub.pause_after is not None:
            self._pause(data)
            return
        self.wfile.write(data[start:end])
        if end < len(data):
            self.wfile.flush()
            self.connection.close()

    def _pause(self, data):
        self.wfile.write(data[: self.hub.pause_after])
        self.wfile.flush()
        self.hub.pause_after = None
        self.hub.is_paused.set()
        self.connection.recv(1)  # returns when the client is gone
        self.close_connection = True
