"""Refuses a configuration with a secret: on Spark it travels with the plan, and Spark shows it in its UI and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from aiquery.errors import ConfigError
from aiquery.secrets import find_secrets_in_address, is_secret_name, looks_like_key

if TYPE_CHECKING:
    from aiquery.config.settings import Config


def raise_if_secret(config: Config) -> None:
    """Raise a ``ConfigError``, which names the setting, if the configuration holds a secret."""
    for name, endpoint in config.endpoints.items():
        for header, value in endpoint.headers.items():
            is_secret = is_secret_name(header) or looks_like_key(value)
            if is_secret and not value.startswith("$"):
                _raise_secret(f"endpoints.{name}.headers.{header}")
        for setting in ("base_url", "proxy"):
            if find_secrets_in_address(getattr(endpoint, setting) or ""):
                _raise_secret(f"endpoints.{name}.{setting}")
        for option in endpoint.options:
            if is_secret_name(option):
                _raise_secret(f"endpoints.{name}.options.{option}")
    for table in ("cache", "runs"):
        if find_secrets_in_address(getattr(config, table).store or ""):
            _raise_secret(f"{table}.store")


def raise_if_command(config: Config) -> None:
    """Raise a ``ConfigError`` if the configuration, which a session set, names a program to run."""
    for name, endpoint in config.endpoints.items():
        if endpoint.api_key_command is not None:
            raise ConfigError(
                f"endpoints.{name}.api_key_command runs a program on the executors, so it counts only where the driver "
                "is started. Use api_key_env or api_key_file here."
            )


def _raise_secret(setting: str) -> NoReturn:
    raise ConfigError(
        f"{setting} holds a secret, and on Spark the configuration travels with the plan. Put it into an environment "
        'variable of the executors, and write "$NAME" (or api_key_env = "NAME", api_key_file = "PATH").'
    )
