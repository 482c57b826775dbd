"""``aiquery config``: every setting and its origin, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from aiquery import config as configuration
from aiquery.cli.options import ConfigFile  # noqa: TC001  typer reads the annotations
from aiquery.cli.output import print_table
from aiquery.config.credentials import describe_key
from aiquery.secrets import MASK, hide_secrets, is_secret_name

if TYPE_CHECKING:
    from aiquery.config.settings import Config


def show(config: ConfigFile = None) -> None:
    """Print every setting and its origin; values of headers and keys are masked."""
    loaded = configuration.load(config)
    rows: list[tuple[str, object, str]] = [("configuration", loaded.origin, "found")]
    for table, settings in _tables(loaded).items():
        for setting, value in msgspec.structs.asdict(settings).items():
            shown = _mask(setting, value)
            rows.append((f"{table}.{setting}", shown, loaded.origin_of(table, setting)))
    for name, endpoint in loaded.endpoints.items():
        for setting, value in msgspec.structs.asdict(endpoint).items():
            if setting != "name":
                origin = loaded.origin_of("endpoints", name, setting)
                path = f"endpoints.{name}.{setting}"
                rows.append((path, _mask(setting, value), origin))
        source = describe_key(endpoint)
        if source is not None:
            rows.append((f"endpoints.{name} key", MASK, source))
    print_table(("setting", "value", "from"), rows)


def _tables(loaded: Config) -> dict[str, msgspec.Struct]:
    names = ("defaults", "cache", "runs", "budget")
    return {name: getattr(loaded, name) for name in names}


def _mask(setting: str, value: object) -> object:
    if setting == "api_key_command" and value is not None:
        return MASK
    if isinstance(value, str):
        return hide_secrets(value)
    if setting == "headers" and isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if setting == "options" and isinstance(value, dict):
        return {
            name: MASK if is_secret_name(name) else item for name, item in value.items()
        }
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    return value
