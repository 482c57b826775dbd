"""Asks an OpenAI-compatible server which model it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import msgspec
import typer
from yarl import URL

from aiquery.config.credentials import read_credentials
from aiquery.limits import MAX_REPLY_BYTES
from aiquery.providers.http.addresses import build_url
from aiquery.providers.http.proxies import find_proxy
from aiquery.runtime.event_loop import event_loop

if TYPE_CHECKING:
    from aiquery.config.endpoint import Endpoint

_OK = 200
_TIMEOUT_S = 5.0
_MAX_SHOWN = 10


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def add_served_model(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with the only model of its server, or as it is if the server does not list its models.

    Raises ``typer.BadParameter`` if the server has several and none is called like the endpoint.
    """
    found: list[str] = event_loop().start(_list_models(endpoint)).result()
    if not found or endpoint.name in found:
        return endpoint
    if len(found) > 1:
        names = ", ".join(found[:_MAX_SHOWN])
        more = ", .." if len(found) > _MAX_SHOWN else ""
        raise typer.BadParameter(
            f"--endpoint {endpoint.name}={endpoint.base_url}: the server has {len(found)} models; append # and the "
            f"name of one: {names}{more}"
        )
    return msgspec.structs.replace(endpoint, model=found[0])


async def _list_models(endpoint: Endpoint) -> list[str]:
    """Return the names of the server's models; none if it does not list them."""
    headers = read_credentials(endpoint).reveal_headers()
    url = URL(build_url(URL(endpoint.base_url or ""), "models"))
    proxy = find_proxy(endpoint, url)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url, allow_redirects=False, proxy=proxy) as reply,
        ):
            body = await reply.content.read(MAX_REPLY_BYTES)
            is_listed = reply.status == _OK
    except (aiohttp.ClientError, TimeoutError, OSError):
        return []  # the statement will say that the server cannot be reached
    if not is_listed:
        return []
    try:
        models = msgspec.json.decode(body, type=_Models)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [model.id for model in models.data]
