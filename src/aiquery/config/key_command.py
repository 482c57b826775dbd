"""Runs the command that prints a key: without a shell, for a limited time, with limited output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, NamedTuple

from aiquery.limits import MAX_KEY_BYTES

_STEP_S = 0.05
_AFTER_END_S = 1.0
_CHUNK = 4096


class Ended(NamedTuple):
    """How a command ended.

    status   its exit status; None: it did not end in time, or printed too much, and was killed with its children
    output   the beginning of what it printed, up to one byte more than a key can have
    errors   the beginning of what it printed to standard error
    """

    status: int | None
    output: bytes
    errors: bytes


def run_command(arguments: list[str], limit_s: float) -> Ended:
    """Run a program and return how it ended. Raises ``OSError`` if it cannot be started.

    It ends with its process: a child that keeps the output open is not waited for.
    """
    process = subprocess.Popen(  # noqa: S603  a program of the configuration, without a shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that its children can be killed too
    )
    output, errors = bytearray(), bytearray()
    pipes = {process.stdout: output, process.stderr: errors}
    try:
        _read_until_end(process, pipes, limit_s)
        status = process.poll()
        if len(output) > MAX_KEY_BYTES:
            status = None
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in pipes:
            if pipe is not None:
                pipe.close()
    return Ended(status, bytes(output), bytes(errors))


def _read_until_end(
    process: subprocess.Popen[bytes],
    pipes: dict[IO[bytes] | None, bytearray],
    limit_s: float,
) -> None:
    """Read the pipes until the process ends, prints too much, or the time is over."""
    deadline = time.monotonic() + limit_s
    with selectors.DefaultSelector() as selector:
        for pipe, found in pipes.items():
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, found)
        while time.monotonic() < deadline:
            has_ended = process.poll() is not None
            if has_ended:  # a child may go on writing
                deadline = min(deadline, time.monotonic() + _AFTER_END_S)
            events = selector.select(0 if has_ended else _STEP_S)
            for key, _ in events:
                _read_some(selector, key)
            output = pipes[process.stdout]
            if len(output) > MAX_KEY_BYTES or (has_ended and not events):
                return
            if not selector.get_map() and not has_ended:
                time.sleep(_STEP_S)


def _read_some(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Read a part of a pipe; what exceeds the limit is dropped."""
    part = os.read(key.fd, _CHUNK)
    if not part:
        selector.unregister(key.fileobj)
    room = MAX_KEY_BYTES + 1 - len(key.data)
    key.data.extend(part[:room])
