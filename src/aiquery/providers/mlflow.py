"""mlflow: custom models behind MLflow's scoring protocol, which Databricks model serving speaks too.

One record per request: ``{"dataframe_records": [record]}`` -> ``{"predictions": [value]}``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import ConfigError, InvalidResponse, RequestFailed
from aiquery.providers.http import HTTPClient
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint
    from aiquery.config.environment import Credentials
    from aiquery.requests.request import RateLimits, Request


class Predictions(msgspec.Struct):
    """What is read of a scoring reply."""

    predictions: list[msgspec.Raw] | None = None
    error: object = None


_EXACT = msgspec.json.Decoder(float_hook=Decimal)
"""A prediction may be a DECIMAL, which has more digits than a float."""


class MLflowProvider:
    """POSTs records to the endpoint's ``base_url`` as it stands: ``https://HOST/serving-endpoints/NAME/invocations``."""

    slots = 64
    context_window = 8192
    max_batch_size = 1
    remote = True

    def __init__(self, endpoint: Endpoint, http: HTTPClient) -> None:
        """Use ``open``."""
        self._endpoint = endpoint
        self._http = http

    def __repr__(self) -> str:
        """Name the endpoint, never a key."""
        return f"MLflowProvider({self._endpoint.name!r})"

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise if there is no URL, or if the endpoint is not declared as a custom one."""
        if not endpoint.base_url or endpoint.task != "custom":
            raise ConfigError(
                f"endpoint {endpoint.name!r}: provider 'mlflow' needs a base_url and task = 'custom'; set return_type "
                "to the DDL type of its predictions."
            )

    @classmethod
    def dimensions(cls, endpoint: Endpoint) -> int | None:
        """Return None: it serves no embeddings."""
        del endpoint
        return None

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> MLflowProvider:
        """Make the session."""
        return cls(endpoint, HTTPClient(endpoint, credentials))

    async def complete(self, request: Request) -> Response:
        """Score one record; a plain text is sent as one ``inputs`` item."""
        field = "inputs" if isinstance(request.content, str) else "dataframe_records"
        payload: dict[str, object] = {field: [request.content]}
        if request.template.parameters:
            payload["params"] = request.template.parameters
        document = await self._http.post(
            self._endpoint.base_url or "", payload, Predictions
        )
        if document.predictions is None or len(document.predictions) != 1:
            raise InvalidResponse(
                "the reply has no list 'predictions' with one item", status=200
            )
        return Response(value=_EXACT.decode(document.predictions[0]))

    async def count_tokens(self, request: Request) -> Response:
        """Fail: a scoring server has no tokenizer."""
        del request
        raise RequestFailed(
            "provider 'mlflow' cannot count tokens; name a chat or embedding endpoint"
        )

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the endpoint last said of its limits."""
        return self._http.rate_limits

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
