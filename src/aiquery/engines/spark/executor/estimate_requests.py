"""What a batch would ask, as rows that Spark can count: an estimate of a DataFrame."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aiquery.estimate import characters, most_out
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
        ("answered", SQLType("BOOLEAN")),
        ("characters", SQLType("BIGINT")),
        ("size", SQLType("BIGINT")),
        ("most_out", SQLType("BIGINT")),
    ),
)
REQUESTS = SQLType("ARRAY", element=REQUEST)


class Requests:
    """The requests of one call, batch after batch."""

    def __init__(self, call: BoundCall, client: Client) -> None:
        """``client`` knows what is answered already."""
        self._call = call
        self._client = client
        self._around: dict[RequestTemplate, int] = {}

    def of(self, columns: list[pa.Array], rows: int) -> pa.Array:
        """Return a column of ``rows`` lists: the requests of the first round in the first row, none in the others."""
        requests = next(self._call.rounds(columns))
        keys = [
            request.key() if request.template.cacheable else secrets.token_bytes(8)
            for request in requests
        ]
        known = self._client.find_known(keys)
        found = [
            self._row(request, key, answered=key in known)
            for request, key in zip(requests, keys, strict=True)
        ]
        return pa.array([found, *[None] * (rows - 1)], to_arrow(REQUESTS))

    def _row(self, request: Request, key: bytes, *, answered: bool) -> dict[str, Any]:
        endpoint = self._call.endpoint
        return {
            "endpoint": endpoint.name, "key": key.hex(), "function": request.template.function, "answered": answered,
            "characters": characters(endpoint, request, self._around), "size": request.size(),
            "most_out": most_out(endpoint, request.template),
        }  # fmt: skip
