"""``aiquery config``: every setting and where it came from; no secret is ever shown."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from aiquery import config as configuration
from aiquery.cli.output import print_table
from aiquery.config.environment import has_key

if TYPE_CHECKING:
    from aiquery.config.settings import Config

MASK = "***"


def show(
    config: Annotated[Path | None, typer.Option(help="The configuration file.")] = None,
) -> None:
    """Print every setting with where it came from; values of headers and keys are masked."""
    loaded = configuration.load(config)
    rows: list[tuple[str, object, str]] = [("configuration", loaded.origin, "found")]
    for table, settings in _tables(loaded).items():
        for setting, value in msgspec.structs.asdict(settings).items():
            rows.append(
                (
                    f"{table}.{setting}",
                    _shown(setting, value),
                    loaded.origin_of(table, setting),
                )
            )
    for name, endpoint in loaded.endpoints.items():
        for setting, value in msgspec.structs.asdict(endpoint).items():
            if setting != "name":
                rows.append(
                    (
                        f"endpoints.{name}.{setting}",
                        _shown(setting, value),
                        loaded.origin_of("endpoints", name, setting),
                    )
                )
        if endpoint.api_key_env:
            state = MASK if has_key(endpoint) else "NOT SET"
            rows.append(
                (f"endpoints.{name} key", state, f"variable {endpoint.api_key_env}")
            )
    print_table(("setting", "value", "from"), rows)


def _tables(loaded: Config) -> dict[str, msgspec.Struct]:
    return {
        name: getattr(loaded, name) for name in ("defaults", "cache", "runs", "budget")
    }


def _shown(setting: str, value: object) -> object:
    if setting == "store" and isinstance(value, str) and "@" in value:
        return MASK  # a URL with a password
    if setting == "headers" and isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value
