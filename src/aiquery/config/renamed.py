"""Settings that had another name before the first release: using one is an error that names the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiquery.errors import ConfigError

TABLES = {"answers": "cache"}
ENDPOINT = {"context": "context_window", "texts_per_request": "max_batch_size"}


def check_renamed(document: Mapping[str, Any], origin: str) -> None:
    """Raise a ``ConfigError`` for the first setting in ``document`` that has another name now."""
    for old, new in TABLES.items():
        if old in document:
            raise ConfigError(
                f"{origin}: the table [{old}] is now called [{new}]; rename it."
            )
    endpoints = document.get("endpoints", {})
    if isinstance(endpoints, Mapping):
        for name, row in endpoints.items():
            if isinstance(row, Mapping):
                _check_endpoint(row, f"{origin}: [endpoints.{name}]")


def _check_endpoint(row: Mapping[str, Any], where: str) -> None:
    for old, new in ENDPOINT.items():
        if old in row:
            raise ConfigError(
                f"{where}: the setting {old!r} is now called {new!r}; rename it."
            )
    timeout = row.get("timeout", {})
    if isinstance(timeout, Mapping) and "request_s" in timeout:
        raise ConfigError(
            f"{where}: timeout.request_s (all attempts of a request) is now called total_s, and what total_s was "
            "(one attempt) is attempt_s; rename them."
        )
