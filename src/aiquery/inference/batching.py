"""Batching of embedding and rerank requests: many texts in one request to the endpoint.

A batch is built when there is a slot for it and not before, so that it is as large as possible; texts of similar
length go together, which wastes the least padding. Each text stays a request of its own with its own outcome.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, cast

from aiquery.inference.in_flight import Attempted
from aiquery.requests.request import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.errors import RowError
    from aiquery.inference.in_flight import InFlightRequest
    from aiquery.requests.request import Content

MAX_TOKENS = 300_000
"""OpenAI's limit of one embedding request, in tokens."""

CHARACTERS_PER_TOKEN = 3
"""A low estimate: a batch has too few texts rather than too many."""

MIN_CHARACTERS = 16
"""A text is not shortened below this length."""


class Batch(Attempted):
    """Texts that are embedded, or compared with one query, by one request to the endpoint."""

    __slots__ = ("_requests", "shortened")

    def __init__(self, requests: list[InFlightRequest]) -> None:
        """``requests`` have the same template and query."""  # noqa: D401
        texts = [_text(one) for one in requests]
        super().__init__(_join(requests[0], texts), requests[0].ledger_key)
        self._requests = requests
        self.queued_at = min(one.queued_at for one in requests)
        self.shortened = False

    @property
    def requests(self) -> Sequence[InFlightRequest]:
        """The requests of the single texts."""
        return self._requests

    def read(self, response: Response) -> list[object]:
        """Return the value of each text. Raises the row's error."""
        parser = self.request.template.parser
        parts = response.split()
        return [
            parser.read(part, one.request)
            for part, one in zip(parts, self._requests, strict=True)
        ]

    def count_cut(self, response: Response) -> int:
        """Count the texts that were cut, by the endpoint or here."""
        return len(self._requests) if self.shortened else response.count_truncated()

    def split(self, error: RowError) -> list[Batch]:
        """Return the batches to send after this one failed for good: one bad text must not fail the others."""
        if error.unavailable or error.gives_up_after is not None:
            return []  # no text is to blame
        if len(self._requests) > 1:
            middle = len(self._requests) // 2
            return [Batch(self._requests[:middle]), Batch(self._requests[middle:])]
        if error.too_long is None:
            return []
        shorter = self.shorten(error.too_long)
        return [] if shorter is None else [shorter]

    def shorten(self, share: float) -> Batch | None:
        """Return the one text of this batch cut to ``share`` of its length; None if it is short already."""
        (text,) = _texts(self.request.content)
        length = int(len(text) * share)
        if length < MIN_CHARACTERS:
            return None
        batch = Batch(self._requests)
        batch.request = _join(self._requests[0], [text[:length]])
        batch.shortened = True
        return batch


class Batcher:
    """The texts of one endpoint that wait to be batched. ``max_size`` is the number of texts per request."""

    def __init__(self, max_size: int = 1, max_tokens: int = MAX_TOKENS) -> None:
        """Start empty."""
        self.max_size = max_size
        self.max_tokens = max_tokens
        self._waiting: dict[tuple[bytes, str], list[InFlightRequest]] = {}
        self._is_sorted = True

    def __len__(self) -> int:
        """Count the texts that wait."""
        return sum(map(len, self._waiting.values()))

    def add(self, request: InFlightRequest) -> None:
        """Queue a text; texts of one template, and of one query, are batched together."""
        group = (request.request.template.digest, _query(request))
        self._waiting.setdefault(group, []).append(request)
        self._is_sorted = False

    def take(self) -> Batch | None:
        """Return the longest texts that fit into one request; None if no text waits."""
        if not self._is_sorted:
            for waiting in self._waiting.values():
                waiting.sort(key=attrgetter("size"))
            self._is_sorted = True
        for group, waiting in self._waiting.items():
            batch = Batch(self._take_fitting(waiting))
            if not waiting:
                del self._waiting[group]
            return batch
        return None

    def _take_fitting(self, waiting: list[InFlightRequest]) -> list[InFlightRequest]:
        taken = [waiting.pop()]
        room = self.max_tokens - _tokens(taken[0])
        while waiting and len(taken) < self.max_size and _tokens(waiting[-1]) <= room:
            taken.append(waiting.pop())
            room -= _tokens(taken[-1])
        return taken

    def drop(
        self, unwanted: Callable[[InFlightRequest], bool]
    ) -> list[InFlightRequest]:
        """Remove and return the texts for which ``unwanted`` is true."""
        dropped: list[InFlightRequest] = []
        for group, waiting in list(self._waiting.items()):
            gone = [one for one in waiting if unwanted(one)]
            if not gone:
                continue
            dropped += gone
            self._waiting[group] = [one for one in waiting if not unwanted(one)]
            if not self._waiting[group]:
                del self._waiting[group]
        return dropped


def _join(first: InFlightRequest, texts: list[str]) -> Request:
    """Return the request for several texts: a list, or a query with its documents."""
    request = first.request
    if not isinstance(request.content, dict):
        return Request(request.template, texts)
    joined: Content = {"query": _query(first), "documents": texts}
    return Request(request.template, joined)


def _texts(content: Content) -> list[str]:
    """Return the texts of a batch."""
    texts = content["documents"] if isinstance(content, dict) else content
    return cast("list[str]", texts)


def _text(request: InFlightRequest) -> str:
    content = request.request.content
    return str(content["document"] if isinstance(content, dict) else content)


def _query(request: InFlightRequest) -> str:
    content = request.request.content
    return str(content["query"]) if isinstance(content, dict) else ""


def _tokens(request: InFlightRequest) -> int:
    return request.size // CHARACTERS_PER_TOKEN
