"""Reads the key of an endpoint from a variable, a file or a command, and its headers."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from aiquery.config.environment import (
    check_variable_name,
    keep_secret,
    read_secret,
    variable_is_set,
)
from aiquery.config.key_command import run_command
from aiquery.errors import ConfigError, MissingKey, excerpt
from aiquery.limits import MAX_KEY_BYTES
from aiquery.secrets import Secret, remember_header

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

AUTHORIZATION = "Authorization"
KEY_SOURCES = ("api_key_env", "api_key_file", "api_key_command")
COMMAND_S = 60.0
"""How long a command may take, in seconds."""


class Credentials(msgspec.Struct, frozen=True):
    """Key and headers of an endpoint."""

    key: Secret | None = None
    headers: dict[str, Secret] = {}

    def reveal_headers(self, key_header: str = AUTHORIZATION) -> dict[str, str]:
        """Return the headers of a request. The key is in ``key_header``, in Authorization as a bearer token."""
        revealed = {}
        if self.key is not None:
            scheme = "Bearer " if key_header == AUTHORIZATION else ""
            revealed[key_header] = f"{scheme}{self.key.reveal()}"
        for name, value in self.headers.items():
            revealed[name] = value.reveal()
        return revealed


def read_credentials(endpoint: Endpoint) -> Credentials:
    """Return the key and headers of an endpoint. Raises ``MissingKey`` and ``ConfigError``."""
    where = f"endpoint {endpoint.name!r}"
    headers = _read_headers(endpoint, where)
    return Credentials(_read_key(endpoint, where), headers)


def check_credentials(endpoint: Endpoint) -> None:
    """Raise ``MissingKey`` or ``ConfigError`` if there is no key. A command is looked for and not run."""
    where = f"endpoint {endpoint.name!r}"
    _read_headers(endpoint, where)
    if endpoint.api_key_command is None:
        _read_key(endpoint, where)
        return
    program = shlex.split(endpoint.api_key_command)[0]
    if shutil.which(program) is None:
        raise MissingKey(
            f"{where}: api_key_command: {program!r} is not found. Install it, or set another command, or api_key_file "
            "or api_key_env in its place."
        )


def _read_headers(endpoint: Endpoint, where: str) -> dict[str, Secret]:
    headers = {}
    for name, value in endpoint.headers.items():
        headers[name] = (
            read_secret(value[1:], f"{where}: header {name}")
            if value.startswith("$")
            else Secret(value)
        )
    return headers


def _read_key(endpoint: Endpoint, where: str) -> Secret | None:
    if endpoint.api_key_env:
        return read_secret(endpoint.api_key_env, f"{where}: api_key_env")
    if endpoint.api_key_file:
        return _read_file(endpoint.api_key_file, f"{where}: api_key_file")
    if endpoint.api_key_command:
        return _run_command(endpoint.api_key_command, f"{where}: api_key_command")
    return None


def _read_file(path: str, setting: str) -> Secret:
    source = f"the file {path!r}"
    try:
        file = Path(path).expanduser()
        # Opening a pipe would wait for who writes into it.
        if file.exists() and not file.is_file():
            raise MissingKey(f"{setting}: {path!r} is not a regular file.")
        with file.open("rb") as opened:
            content = opened.read(MAX_KEY_BYTES + 1)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingKey(
            f"{setting} names {source}, which cannot be read: {reason}."
        ) from None
    return _decode_key(content, setting, source)


def _run_command(command: str, setting: str) -> Secret:
    arguments = shlex.split(command)
    program = arguments[0]
    try:
        ended = run_command(arguments, COMMAND_S)
    except OSError as error:
        raise MissingKey(
            f"{setting}: {program!r} cannot be run: {error.strerror}."
        ) from None
    if ended.status is None and len(ended.output) <= MAX_KEY_BYTES:
        raise MissingKey(
            f"{setting}: {program!r} did not end within {COMMAND_S:g} s and was stopped."
        )
    source = f"the output of {program!r}"
    if ended.status:
        # What it says may contain what it printed.
        for line in ended.output.decode("utf-8", "replace").split("\n"):
            remember_header(line.strip())
        said = excerpt(ended.errors.decode("utf-8", "replace").strip())
        raise MissingKey(
            f"{setting}: {program!r} ended with status {ended.status}: {said or 'no message'}"
        )
    return _decode_key(ended.output, setting, source)


def _decode_key(content: bytes, setting: str, source: str) -> Secret:
    if len(content) > MAX_KEY_BYTES:
        raise ConfigError(
            f"{setting}: {source} has more than {MAX_KEY_BYTES} bytes, so it is no key."
        )
    try:
        value = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {source} is not UTF-8 text.") from None
    if not value:
        raise MissingKey(f"{setting}: {source} is empty.")
    return keep_secret(value, f"{setting}: {source}")


def check_key_settings(endpoint: Endpoint, where: str) -> None:
    """Check how an endpoint's key is given, without reading it. Raises ``ConfigError``."""
    given = [name for name in KEY_SOURCES if getattr(endpoint, name) is not None]
    if len(given) > 1:
        raise ConfigError(
            f"{where}: {' and '.join(given)} exclude each other; keep one of them."
        )
    if endpoint.api_key_env is not None:
        check_variable_name(endpoint.api_key_env, f"{where}: api_key_env")
    for name in ("api_key_file", "api_key_command"):
        value = getattr(endpoint, name)
        if value is not None and not _is_argument(value):
            raise ConfigError(
                f"{where}: {name} is empty or has a character that no path or argument can have."
            )
    if endpoint.api_key_command is not None:
        _check_command(endpoint.api_key_command, f"{where}: api_key_command")


def _is_argument(value: str) -> bool:
    """Return True if the operating system takes a text as a path or an argument."""
    if not value.strip() or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _check_command(command: str, setting: str) -> None:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"{setting} cannot be read: {error}.") from None
    if not arguments:
        raise ConfigError(f"{setting} must be a command that prints the key.")


def describe_key(endpoint: Endpoint) -> str | None:
    """Return where an endpoint's key comes from and whether it is there; None if it needs no key.

    A command is not run.
    """
    if endpoint.api_key_env:
        state = "set" if variable_is_set(endpoint.api_key_env) else "NOT SET"
        return f"variable {endpoint.api_key_env} ({state})"
    if endpoint.api_key_file:
        return f"file {endpoint.api_key_file} ({_find_file(endpoint.api_key_file)})"
    if endpoint.api_key_command:
        program = shlex.split(endpoint.api_key_command)[0]
        state = "found" if shutil.which(program) else "NOT FOUND"
        return f"command {program} ({state})"
    return None


def _find_file(path: str) -> str:
    try:
        return "found" if Path(path).expanduser().is_file() else "NOT FOUND"
    except (OSError, RuntimeError) as error:
        return f"NOT FOUND: {getattr(error, 'strerror', None) or error}"
