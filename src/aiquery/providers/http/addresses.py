"""The URLs of a server, from the base_url as users write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yarl import URL

_METHODS = (
    "chat/completions",
    "embeddings",
    "rerank",
    "responses",
    "completions",
    "messages",
)
"""Ends of addresses that name a method. In a base_url they are replaced."""


def build_url(address: URL, path: str) -> str:
    """Return the URL of a method below a base_url, whose query stays.

    >>> from yarl import URL
    >>> build_url(URL("https://host/v1/chat/completions?api-version=1"), "embeddings")
    'https://host/v1/embeddings?api-version=1'
    """
    return _with_path(address, f"{_strip_method(address)}/{path}")


def build_tokenize_url(address: URL) -> str:
    """Return the URL at which vLLM, SGLang and llama.cpp count tokens: beside ``/v1``."""
    return _with_path(address, f"{_strip_method(address).removesuffix('/v1')}/tokenize")


def _strip_method(address: URL) -> str:
    path = address.raw_path.rstrip("/")
    for method in _METHODS:
        if path.endswith(f"/{method}"):
            return path.removesuffix(f"/{method}")
    return path


def _with_path(address: URL, path: str) -> str:
    return str(address.with_path(path, encoded=True, keep_query=True))
