"""Find and read the configuration.

The first of these is used: the argument (a mapping, a path, JSON text, or a ``Config``), the file that the variable
``AIQUERY_CONFIG`` names, ``./aiquery.toml``, ``config.toml`` in the user's configuration folder, the built-in defaults.
A key is always given by the *name* of its environment variable.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from platformdirs import user_config_path

from aiquery.config.credentials import check_key_settings
from aiquery.config.endpoint import Endpoint
from aiquery.config.environment import CONFIG_VARIABLE, config_file
from aiquery.config.http_values import check_http_settings
from aiquery.config.settings import DEFAULT_FILE, Config
from aiquery.errors import ConfigError

ConfigLike: TypeAlias = Mapping[str, Any] | str | os.PathLike[str] | Config
"""A configuration as users give it: a mapping, the path of a TOML file, JSON text, or a ``Config``."""


def load(source: ConfigLike | None = None) -> Config:
    """Return the configuration ``source``, or the first one found. Raises ``ConfigError``."""
    if isinstance(source, Config):
        return source
    if isinstance(source, Mapping):
        return Config(source, "argument")
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return Config(_decode(source), "argument")
    if source is None:
        return _find()
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            "config must be a mapping, the path of a TOML file, JSON text or a Config, not a "
            f"{type(source).__name__}."
        )
    return _read(Path(source))


def endpoint_from_text(
    text: str, name: str, config: Config, api_key_env: str | None = None
) -> Endpoint:
    """Return the endpoint for ``text``: the URL of an OpenAI-compatible server, a configured name, or vendor:model.

    A URL may end in ``#MODEL``. ``api_key_env`` names the variable of its key.
    """
    if is_url(text):
        address, _, model = text.partition("#")
        endpoint = Endpoint(
            name=name, model=model or name, base_url=address, api_key_env=api_key_env
        )
        where = f"endpoint {name!r}"
        check_key_settings(endpoint, where)
        check_http_settings(endpoint, where)
        return endpoint
    return msgspec.structs.replace(config.endpoint(text), name=name)


def is_url(text: str) -> bool:
    """Return True for the URL of a server."""
    return text.lower().startswith(("http://", "https://"))


def _find() -> Config:
    named = config_file()
    if named:
        return _read(Path(named), f" (named by {CONFIG_VARIABLE})")
    for path in (Path(DEFAULT_FILE), user_config_path("aiquery") / "config.toml"):
        if path.is_file():
            return _read(path)
    return Config()


def _read(path: Path, how: str = "") -> Config:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        RecursionError,
    ) as error:
        raise ConfigError(
            f"configuration {path}{how} cannot be read: {error}"
        ) from None
    return Config(document, str(path))


def _decode(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"the configuration is not a JSON object: {error}") from None
