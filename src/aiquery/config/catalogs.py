"""The packaged catalogs: vendors with an OpenAI-compatible endpoint, and list prices of well-known models."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from aiquery.config.endpoint import Endpoint, Price


@cache
def vendors() -> dict[str, dict[str, Any]]:
    """Return the rows of vendors.toml."""
    return tomllib.loads(
        files("aiquery.data").joinpath("vendors.toml").read_text("utf-8")
    )


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
        price = listed["models"].get(endpoint.model)
        if (
            price is not None
            and endpoint.base_url.rstrip("/") == vendors()[vendor]["base_url"]
        ):
            return msgspec.structs.replace(
                endpoint, price=Price(**price, as_of=listed["as_of"])
            )
    return endpoint
