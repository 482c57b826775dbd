"""The requests of a batch as rows that Spark can count: for an estimate of a DataFrame."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.estimate import count_characters, max_output_tokens
from aiquery.requests.sql_types import SQLType, to_arrow

if TYPE_CHECKING:
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.requests.request import Request, RequestTemplate

REQUEST = SQLType(
    "STRUCT",
    fields=(
        ("endpoint", SQLType("STRING")),
        ("key", SQLType("STRING")),
        ("function", SQLType("STRING")),
        ("is_cached", SQLType("BOOLEAN")),
        ("characters", SQLType("BIGINT")),
        ("size", SQLType("BIGINT")),
        ("max_output_tokens", SQLType("BIGINT")),
    ),
)
REQUESTS = SQLType("ARRAY", element=REQUEST)


class RequestLister:
    """Lists the requests of one call, batch after batch."""

    def __init__(self, call: BoundCall, client: Client) -> None:
        """``client`` looks up which answers are cached."""
        self._call = call
        self._client = client
        self._prompt_sizes: dict[RequestTemplate, int] = {}

    def list(self, columns: list[pa.Array], rows: int) -> pa.Array:
        """Return a column of ``rows`` lists: the requests of the first round in the first row, NULL in the others."""
        requests = next(self._call.rounds(columns))
        keys = [_key(request) for request in requests]
        known = self._client.find_known(keys)
        found = [
            self._row(request, key, is_cached=key in known)
            for request, key in zip(requests, keys, strict=True)
        ]
        return pa.array([found, *[None] * (rows - 1)], to_arrow(REQUESTS))

    def _row(self, request: Request, key: bytes, *, is_cached: bool) -> dict[str, Any]:
        endpoint = self._call.endpoint
        return {
            "endpoint": endpoint.name,
            "key": key.hex(),
            "function": request.template.function,
            "is_cached": is_cached,
            "characters": count_characters(endpoint, request, self._prompt_sizes),
            "size": request.size(),
            "max_output_tokens": max_output_tokens(endpoint, request.template),
        }


def _key(request: Request) -> bytes:
    """Return the request's key; a request that is not cacheable is never equal to another."""
    return request.key() if request.template.cacheable else secrets.token_bytes(8)
