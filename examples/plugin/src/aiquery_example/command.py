"""command: any program as a model. It reads the prompt from standard input and prints the answer.

Option of the endpoint: ``command`` is the program and its arguments, e.g. ``ollama run llama3.2``.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
from subprocess import PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING

from aiquery.errors import ConfigError, RequestFailed, excerpt
from aiquery.requests.chat import build_messages
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request


class CommandProvider:
    """Runs one process per request."""

    slots = 4
    context_window = 8192
    max_batch_size = 1
    remote = False
    rate_limits = None

    def __init__(self, endpoint: Endpoint) -> None:
        """Read the settings of the endpoint, which ``check`` accepted."""
        self._command = shlex.split(str(endpoint.options["command"]))
        self._timeout_s = endpoint.timeout.attempt_s

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no command, or its program is missing."""
        words = shlex.split(str(endpoint.options.get("command", "")))
        if not words or endpoint.task != "chat":
            raise ConfigError(
                f"endpoint {endpoint.name!r}: provider 'command' needs task = 'chat' and a command, "
                'e.g. options = { command = "ollama run llama3.2" }.'
            )
        if shutil.which(words[0]) is None:
            raise ConfigError(
                f"endpoint {endpoint.name!r}: the program {words[0]!r} is not found; install it, or "
                "write its whole path."
            )

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return None: a command has no embeddings."""

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        credentials: Credentials,  # noqa: ARG003  a command needs no key
    ) -> CommandProvider:
        """Return the provider."""
        return cls(endpoint)

    async def complete(self, request: Request) -> Response:
        """Run the command once. Raises ``RequestFailed``."""
        if request.image is not None:
            raise RequestFailed("a command takes texts, not images.")
        messages = build_messages(request)
        prompt = "\n\n".join(str(message["content"]) for message in messages)
        process = _Process(self._command, self._timeout_s)
        try:
            # In a thread: the event loop of the client must not block, and must not fork.
            return Response(text=await asyncio.to_thread(process.run, prompt))
        finally:
            process.kill()  # the attempt was cancelled

    async def count_tokens(self, request: Request) -> Response:  # noqa: ARG002
        """Raise ``RequestFailed``: a command has no tokenizer."""
        raise RequestFailed("a command cannot count tokens.")

    async def close(self) -> None:
        """Do nothing: no process outlives its request."""


class _Process:
    """One run of the command. ``kill`` may be called from another thread at any time."""

    def __init__(self, command: list[str], timeout_s: float) -> None:
        self._command = command
        self._timeout_s = timeout_s
        self._process: Popen[str] | None = None
        self._is_killed = False

    def run(self, prompt: str) -> str:
        """Return the output of the command. Raises ``RequestFailed``."""
        process = Popen(  # noqa: S603  the command is the user's own configuration
            self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._process = process
        with process:
            if self._is_killed:
                process.kill()
            try:
                out, err = process.communicate(prompt, self._timeout_s)
            except TimeoutExpired:
                process.kill()
                raise RequestFailed(
                    f"the command gave no answer within {self._timeout_s:g} s.",
                    retryable=True,
                ) from None
        if process.returncode:
            raise RequestFailed(
                f"the command ended with status {process.returncode}: {excerpt(err)}"
            )
        return out.rstrip("\n")

    def kill(self) -> None:
        """Kill the process, if it runs."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()
