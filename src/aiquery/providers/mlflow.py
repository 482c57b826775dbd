"""mlflow: custom models behind MLflow's scoring protocol, which Databricks model serving uses too.

A request has one record: ``{"dataframe_records": [record]}``. The reply has one prediction:
``{"predictions": [value]}``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from aiquery.errors import ConfigError, InvalidResponse
from aiquery.limits import MAX_JSON_CHARACTERS
from aiquery.providers.http.client import NO_ERROR, HTTPClient
from aiquery.providers.http.provider import HTTPProvider
from aiquery.requests.request import Response

if TYPE_CHECKING:
    from aiquery.config.credentials import Credentials
    from aiquery.config.endpoint import Endpoint
    from aiquery.requests.request import Request

_OK = 200


class Predictions(msgspec.Struct):
    """The fields of a scoring reply that are read."""

    predictions: list[msgspec.Raw] | None = None
    error: msgspec.Raw = NO_ERROR


_EXACT_DECODER = msgspec.json.Decoder(float_hook=Decimal)
"""A prediction may be a DECIMAL, which has more digits than a float."""


def _decode(prediction: msgspec.Raw) -> object:
    text = memoryview(prediction)
    if len(text) > MAX_JSON_CHARACTERS:
        raise InvalidResponse(
            f"the prediction is longer than {MAX_JSON_CHARACTERS} bytes", status=_OK
        )
    try:
        return _EXACT_DECODER.decode(text)
    except RecursionError:
        raise InvalidResponse(
            "the JSON of the prediction is nested too deep", status=_OK
        ) from None


class MLflowProvider(HTTPProvider):
    """Sends records to the endpoint's ``base_url`` without adding a path.

    On Databricks it is ``https://HOST/serving-endpoints/NAME/invocations``.
    """

    @classmethod
    def check(cls, endpoint: Endpoint) -> None:
        """Raise ``ConfigError`` if the endpoint has no URL or is not a custom endpoint."""
        if not endpoint.base_url or endpoint.task != "custom":
            raise ConfigError(
                f"endpoint {endpoint.name!r}: provider 'mlflow' needs a base_url and task = "
                "'custom'; set return_type to the DDL type of its predictions."
            )

    @classmethod
    async def open(cls, endpoint: Endpoint, credentials: Credentials) -> MLflowProvider:
        """Return a provider with a connection pool. The first request connects."""
        return cls(endpoint, HTTPClient(endpoint, credentials))

    async def complete(self, request: Request) -> Response:
        """Score one record; a plain text is sent as one item of ``inputs``. Raises ``RowError``."""
        field = "inputs" if isinstance(request.content, str) else "dataframe_records"
        payload: dict[str, object] = {field: [request.content]}
        if request.template.parameters:
            payload["params"] = request.template.parameters
        url = self._endpoint.base_url or ""
        document = await self._http.post(url, payload, Predictions)
        if document.predictions is None or len(document.predictions) != 1:
            raise InvalidResponse(
                "the reply has no list 'predictions' with one item", status=_OK
            )
        return Response(value=_decode(document.predictions[0]))
