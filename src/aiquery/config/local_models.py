"""The models that have a name of their own: the rows of models.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiquery.config.endpoint import Endpoint


class CatalogModel(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """One row of models.toml, which says what the fields mean."""

    name: str
    task: Literal["chat", "embedding", "rerank"]
    size_mb: int
    memory_gb: float
    licence: str
    good_for: str
    package: str = ""
    version: str = ""
    wheel_sha256: str = ""
    file: str = ""
    sha256: str = ""
    convert: Literal["", "q8_0", "bert"] = ""
    dimensions: int | None = None
    hub: str = ""


def add_local_task(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an endpoint, with the task of its model if it is local, known, and sets no task."""
    model = find_known_local(row.get("provider"), row["model"])
    return dict(row) if model is None else {"task": model.task, **row}


@cache
def _prefixes() -> list[dict[str, str]]:
    text = files("aiquery.data").joinpath("embedding_prefixes.toml").read_text("utf-8")
    rows: list[dict[str, str]] = tomllib.loads(text)["prefixes"]
    return rows


def find_prefix(endpoint: Endpoint, kind: Literal["query", "document"]) -> str:
    """Return what stands before a text to embed: the endpoint's option, or what its local model was trained with."""
    option = endpoint.options.get(f"{kind}_prefix")
    if option is not None:
        return str(option)
    if endpoint.provider == "local":
        for row in _prefixes():
            if row["model"] in endpoint.model.lower():
                return row[kind]
    return ""


@cache
def catalog() -> dict[str, CatalogModel]:
    """Return the models by name."""
    text = files("aiquery.data").joinpath("models.toml").read_text("utf-8")
    return {
        name: msgspec.convert({"name": name, **row}, CatalogModel)
        for name, row in tomllib.loads(text).items()
    }


def find_in_catalog(model: str) -> CatalogModel | None:
    """Return the model of that name, in any letter case; None if the catalog has none."""
    return catalog().get(model.lower().removeprefix("sentence-transformers/"))


def find_known_local(provider: object, model: object) -> CatalogModel | None:
    """Return the known model of an endpoint with these settings; None if it is not local, or not known."""
    return find_in_catalog(str(model)) if provider == "local" else None
