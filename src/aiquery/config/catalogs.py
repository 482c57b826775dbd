"""The packaged catalogs: vendors with an OpenAI-compatible endpoint, and list prices of well-known models."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from aiquery.config.endpoint import Endpoint, Price
from aiquery.config.environment import fill_address, variable_is_set

_DATE = re.compile(r"-20\d{2}-?\d{2}-?\d{2}$")
_PATTERNS = "without_temperature"
_OPTIONAL_KEY = "optional_api_key_env"
_OWN = frozenset({_PATTERNS, _OPTIONAL_KEY})
"""Settings of a vendor that are none of an endpoint."""


@cache
def vendors() -> dict[str, dict[str, Any]]:
    """Return the rows of vendors.toml."""
    return tomllib.loads(
        files("aiquery.data").joinpath("vendors.toml").read_text("utf-8")
    )


def vendor_settings(vendor: str) -> dict[str, Any] | None:
    """Return the settings of an endpoint at a vendor; None if the vendor is not known.

    Raises ``ConfigError`` if its address needs an environment variable that is not set.
    """
    row = vendors().get(vendor)
    if row is None:
        return None
    settings = {name: value for name, value in row.items() if name not in _OWN}
    key_variable = row.get(_OPTIONAL_KEY)
    if key_variable is not None and variable_is_set(key_variable):
        settings["api_key_env"] = key_variable
    if "{" in settings.get("base_url", ""):
        settings["base_url"] = fill_address(settings["base_url"], f"vendor {vendor!r}")
    return settings


def add_model_rules(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an endpoint with what is known of its model, if it is at its vendor's address."""
    if "send_temperature" in settings:
        return settings
    address = str(settings.get("base_url", ""))
    for row in vendors().values():
        patterns = row.get(_PATTERNS, ()) if _is_at(row, address) else ()
        if any(
            fnmatchcase(str(settings.get("model")), pattern) for pattern in patterns
        ):
            return {**settings, "send_temperature": False}
    return settings


def _is_at(vendor: dict[str, Any], address: str) -> bool:
    """Return True if an address is the vendor's, whatever the variables in it are."""
    parts = re.split(r"\{[^}]*\}", vendor.get("base_url", ""))
    pattern = "[^?#]+".join(map(re.escape, parts))
    return re.fullmatch(pattern, address.rstrip("/")) is not None


@cache
def prices() -> dict[str, dict[str, Any]]:
    """Return the price lists of prices.toml, by vendor."""
    return tomllib.loads(
        files("aiquery.data").joinpath("prices.toml").read_text("utf-8")
    )


def add_list_price(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with the list price of its model, if it has no price and is at its vendor's address."""
    if endpoint.price is not None or endpoint.base_url is None:
        return endpoint
    for vendor, listed in prices().items():
        price = _find_price(listed["models"], endpoint.model)
        if price is not None and _is_at(vendors()[vendor], endpoint.base_url):
            return msgspec.structs.replace(
                endpoint, price=Price(**price, as_of=listed["as_of"])
            )
    return endpoint


def _find_price(listed: dict[str, Any], model: str) -> dict[str, Any] | None:
    """Return the price of a model; a name that ends in a date is that of one of its snapshots."""
    return listed.get(model) or listed.get(_DATE.sub("", model))
