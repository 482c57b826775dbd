"""``Embedding``: vectors for Python code, above all inside a ``pandas_udf``."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

import numpy as np
import pyarrow as pa
from numpy.lib.mixins import NDArrayOperatorsMixin

from aiquery import clients, evaluate, registry
from aiquery import config as configuration
from aiquery.engines.spark.task_config import task_config
from aiquery.errors import ArgumentError
from aiquery.inference.query_context import QueryContext
from aiquery.tracking import active

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from aiquery.config.settings import Config
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.tracking.run import RunStats


MAX_DEFERRED = 2048
"""Deferred texts that are submitted together."""


class Embedding:
    """Embeds texts with an endpoint of the configuration.

    All instances in a process with one configuration share the cache, limits and connections.

    Parameters
    ----------
    endpoint
        The name of an endpoint, or ``vendor:model``. Default: the default embedding endpoint, as for ``ai_embed``.
    config
        A mapping, the path of a TOML file, JSON text, or a ``Config``. Default: that of the Spark session in a Spark
        task, else the file that ``AIQUERY_CONFIG`` names, or the first of the default files.
    deferred
        True: ``embed(text)`` may wait until its vector is read, so that a loop over single texts is sent in batches.
        Default: True within a Spark task, whose code often has such loops.

    Raises
    ------
    ConfigError
        The endpoint is not configured, or its key, extra or model file is missing.

    Examples
    --------
    >>> from aiquery import Embedding
    >>> model = {"provider": "fake", "task": "embedding", "options": {"dimensions": 4}}
    >>> config = {"endpoints": {"e": model}, "cache": {"store": "memory:"}}
    >>> embedding = Embedding("e", config=config)
    >>> embedding.embed(["first text", "second text"]).shape
    (2, 4)
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        config: configuration.ConfigLike | None = None,
        deferred: bool | None = None,
    ) -> None:
        """Check the configuration; the first text opens the endpoint."""
        session_config = task_config()
        is_in_task = session_config is not None
        loaded = configuration.load(config or session_config or None)
        constants = {} if endpoint is None else {"endpoint": endpoint}
        call = registry.functions()["ai_embed"].bind(constants, loaded)
        clients.check_call(call, loaded)
        if is_in_task:
            # Every batch of a UDF makes an Embedding of its own: hold the client between them.
            clients.SharedClient.hold(loaded)
        self._embedder = _Embedder(call, loaded, is_in_task=is_in_task)
        self._deferred = is_in_task if deferred is None else deferred
        self._lock = Lock()
        self._batch = _DeferredBatch(self._embedder)

    @property
    def truncated(self) -> int:
        """Texts that were cut to the model's limit in this process so far."""
        return self._embedder.truncated()

    def embed(self, text: str | Iterable[str]) -> Any:
        """Return the vector of a text, or the vectors of several texts as the rows of an array.

        Values are 32-bit floats. Several texts are sent together; a text beyond the model's limit is cut and counted in
        ``truncated``. Raises ``RowError`` if the endpoint fails for good; a deferred text raises it when its vector is
        read. Raises ``ArgumentError`` for anything but texts.
        """
        if isinstance(text, str):
            if self._deferred:
                return self._defer(text)
            return self._embedder.submit([text])()[0]
        texts = list(text)
        for i, one in enumerate(texts):
            if not isinstance(one, str):
                raise ArgumentError(
                    f"embed takes a text or texts; number {i} is a {type(one).__name__}."
                )
        return self._embedder.submit(texts)()

    def _defer(self, text: str) -> _Vector:
        with self._lock:
            if self._batch.is_submitted:
                self._batch = _DeferredBatch(self._embedder)
            return self._batch.add(text)


class _Embedder:
    """A bound call and its client, open as long as a vector may be read."""

    def __init__(self, call: BoundCall, config: Config, *, is_in_task: bool) -> None:
        """``is_in_task``: the run lasts as long as the process, not as long as this object."""
        shared = clients.SharedClient.join(config)
        self._call = call
        self._client = shared.client
        stats = _task_runs.get(self._client) if is_in_task else None
        self._stats = stats or active.begin(
            self._client, "embedding", call.template.function, open_ended=True
        )
        if is_in_task:
            _task_runs[self._client] = self._stats
        finalize(self, _leave, shared, None if is_in_task else self._stats)

    def submit(self, texts: list[str]) -> Callable[[], npt.NDArray[np.float32]]:
        """Submit texts, and return a function that waits for their vectors."""
        batch = evaluate.submit_batch(
            self._call,
            [pa.array(texts, pa.string())],
            self._client,
            QueryContext(stop_on_error=True, stats=self._stats),
            row_counter=self._stats.row_counter("embed"),
        )

        def wait() -> npt.NDArray[np.float32]:
            flat = batch.column().flatten()
            values: npt.NDArray[np.float32] = flat.to_numpy(zero_copy_only=False)
            return values.reshape(len(texts), -1 if texts else 0)

        return wait

    def truncated(self) -> int:
        totals = self._client.ledger.totals.get(self._call.endpoint.name)
        return 0 if totals is None else totals.truncated


_task_runs: WeakKeyDictionary[Client, RunStats] = WeakKeyDictionary()
"""The runs of Spark tasks in this process."""


def _leave(shared: clients.SharedClient, stats: RunStats | None) -> None:
    if stats is not None:
        active.end(stats)
    shared.leave()


class _DeferredBatch:
    """Texts that are submitted when there are enough of them, or when the vector of one is read."""

    def __init__(self, embedder: _Embedder) -> None:
        self._embedder = embedder
        self._texts: list[str] = []
        self._wait: Callable[[], npt.NDArray[np.float32]] | None = None
        self._vectors: npt.NDArray[np.float32] | None = None

    @property
    def is_submitted(self) -> bool:
        return self._wait is not None

    def add(self, text: str) -> _Vector:
        self._texts.append(text)
        vector = _Vector(self, len(self._texts) - 1)
        if len(self._texts) == MAX_DEFERRED:
            self.submit()
        return vector

    def submit(self) -> Callable[[], npt.NDArray[np.float32]]:
        if self._wait is None:
            self._wait = self._embedder.submit(self._texts)
        return self._wait

    def vectors(self) -> npt.NDArray[np.float32]:
        if self._vectors is None:
            self._vectors = self.submit()()
        return self._vectors


class _Vector(NDArrayOperatorsMixin):
    """A deferred vector: ``numpy.asarray`` waits for it, and it has an array's methods."""

    def __init__(self, batch: _DeferredBatch, position: int) -> None:
        self._batch = batch
        self._position = position

    def __array__(
        self,
        dtype: Any = None,
        copy: bool | None = None,  # noqa: FBT001  numpy calls it so
    ) -> npt.NDArray[Any]:
        vector = self._batch.vectors()[self._position]
        return np.array(vector, dtype=dtype, copy=copy)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        arrays = [
            np.asarray(one) if isinstance(one, _Vector) else one for one in inputs
        ]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(
            "__"
        ):  # numpy tries other protocols before it takes __array__
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __len__(self) -> int:
        return len(np.asarray(self))

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self))

    def __getitem__(self, at: Any) -> Any:
        return np.asarray(self)[at]

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def tolist(self) -> Sequence[float]:
        """Return its floats, deferred as well: loops in Spark code end with this call."""
        return _Floats(self)


class _Floats(Sequence[float]):
    """The floats of a deferred vector; a sequence to Arrow, pandas and numpy."""

    def __init__(self, vector: _Vector) -> None:
        self._vector = vector

    def __len__(self) -> int:
        return len(self._vector)

    def __getitem__(self, at: Any) -> Any:
        return np.asarray(self._vector)[at].tolist()

    def __iter__(self) -> Iterator[float]:
        return iter(np.asarray(self._vector).tolist())

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> Any:
        return list, (list(self),)

    def __hash__(self) -> int:
        raise TypeError("a list of floats cannot be hashed")
