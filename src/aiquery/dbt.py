"""The functions in dbt-duckdb models.

In ``profiles.yml``::

outputs:
  dev:
    type: duckdb
    path: warehouse.duckdb
    plugins:
      - module: aiquery.dbt
        config:
          config: aiquery.toml        # optional; see aiquery.config.settings for where it is found otherwise
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin

from aiquery import config as configuration
from aiquery.engines.duckdb.registration import register

if TYPE_CHECKING:
    import duckdb

    from aiquery.config.settings import Config


class Plugin(BasePlugin):
    """Registers the functions on every cursor that dbt opens: macros belong to a cursor."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Read the configuration once."""
        self._config: Config = configuration.load(plugin_config.get("config"))

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Give one cursor the functions."""
        register(cursor, self._config)
