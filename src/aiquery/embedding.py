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
from aiquery.engines.spark import task_config as job
from aiquery.errors import ArgumentError
from aiquery.inference.query_context import QueryContext
from aiquery.tracking import active as watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from aiquery.config.settings import Config
    from aiquery.inference.client import Client
    from aiquery.interfaces import BoundCall
    from aiquery.tracking.run import RunStats


TOGETHER = 2048
"""Texts that are handed over at once, to be packed into requests."""


class Embedding:
    """Embeds texts with an endpoint of the configuration.

    endpoint    its name, or ``vendor:model``; the default of ``ai_embed`` unless given
    config      what ``aiquery.connect`` takes; unless given, what the session of this Spark job was told, or else what
                ``aiquery.config.settings`` finds
    deferred    whether ``embed(text)`` may wait until its vector is looked at, so that a loop over single texts is
                asked in packs; unless given, within a Spark job, whose batches are such loops

    Everybody in a process shares answers, limits and connections; texts beyond the model's limit are cut, see
    ``truncated``. A deferred text that fails raises its error where its vector is looked at.
    """

    def __init__(
        self, endpoint: str | None = None, *, config: Any = None, deferred: bool | None = None
    ) -> None:  # fmt: skip
        """Check all that can be known before the first text; raises ``ConfigError``."""
        told = job.configuration()
        loaded = configuration.load(config or told or None)
        call = registry.functions()["ai_embed"].bind(
            {} if endpoint is None else {"endpoint": endpoint}, loaded
        )
        clients.check_call(call, loaded)
        if told is not None:
            clients.SharedClient.hold(
                loaded
            )  # every batch of a UDF makes an Embedding of its own
        self._asks = _Asks(call, loaded, lasting=told is not None)
        self._deferred = told is not None if deferred is None else deferred
        self._lock = Lock()
        self._together = _Together(self._asks)

    @property
    def truncated(self) -> int:
        """Texts that were cut to the model's limit in this process so far."""
        totals = self._asks.client.ledger.totals.get(self._asks.call.endpoint.name)
        return 0 if totals is None else totals.truncated

    def embed(self, text: str | Iterable[str]) -> Any:
        """Return the vector of a text, or the vectors of several as the rows of an array, of 32-bit floats.

        Several are asked in one go. Raises ``RowError`` if the endpoint fails for good.
        """
        if isinstance(text, str):
            return self._later(text) if self._deferred else self._asks.ask([text])()[0]
        texts = list(text)
        for i, one in enumerate(texts):
            if not isinstance(one, str):
                raise ArgumentError(
                    f"embed takes a text or texts; number {i} is a {type(one).__name__}."
                )
        return self._asks.ask(texts)()

    def _later(self, text: str) -> _Vector:
        with self._lock:
            if self._together.started:
                self._together = _Together(self._asks)
            return self._together.add(text)


class _Asks:
    """A call and the run that it is asked with, for as long as anybody waits for a vector."""

    def __init__(self, call: BoundCall, config: Config, *, lasting: bool) -> None:
        """``lasting``: what is asked belongs to one run for as long as the process has it, not to this object."""
        shared = clients.SharedClient.join(config)
        self.client = shared.client
        stats = _lasting.get(self.client) if lasting else None
        self._stats = stats or watch.begin(
            self.client, "embedding", call.template.function, open_ended=True
        )
        if lasting:
            _lasting[self.client] = self._stats
        finalize(self, _leave, shared, None if lasting else self._stats)
        self.call = call

    def ask(self, texts: list[str]) -> Callable[[], npt.NDArray[np.float32]]:
        """Hand texts in, and return what waits for their vectors."""
        context, row_counter = (
            QueryContext(stop_on_error=True, stats=self._stats),
            self._stats.row_counter("embed"),
        )
        asked = evaluate.submit_batch(
            self.call,
            [pa.array(texts, pa.string())],
            self.client,
            context,
            row_counter=row_counter,
        )

        def wait() -> npt.NDArray[np.float32]:
            values: npt.NDArray[np.float32] = (
                asked.column().flatten().to_numpy(zero_copy_only=False)
            )
            return values.reshape(len(texts), -1 if texts else 0)

        return wait


_lasting: WeakKeyDictionary[Client, RunStats] = WeakKeyDictionary()
"""The runs of Spark jobs in this process: every batch of a UDF makes an ``Embedding`` of its own."""


def _leave(shared: clients.SharedClient, stats: RunStats | None) -> None:
    if stats is not None:
        watch.end(stats)
    shared.leave()


class _Together:
    """Texts that are asked when there are enough of them, or when somebody looks at the vector of one."""

    def __init__(self, asks: _Asks) -> None:
        self._asks = asks
        self._texts: list[str] = []
        self._wait: Callable[[], npt.NDArray[np.float32]] | None = None
        self._vectors: npt.NDArray[np.float32] | None = None

    @property
    def started(self) -> bool:
        return self._wait is not None

    def add(self, text: str) -> _Vector:
        self._texts.append(text)
        vector = _Vector(self, len(self._texts) - 1)
        if len(self._texts) == TOGETHER:
            self.start()
        return vector

    def start(self) -> Callable[[], npt.NDArray[np.float32]]:
        if self._wait is None:
            self._wait = self._asks.ask(self._texts)
        return self._wait

    def vectors(self) -> npt.NDArray[np.float32]:
        if self._vectors is None:
            self._vectors = self.start()()
        return self._vectors


class _Vector(NDArrayOperatorsMixin):
    """A vector that may not have come yet. It is what ``numpy.asarray`` makes of it, and has an array's methods."""

    def __init__(self, together: _Together, at: int) -> None:
        self._together = together
        self._at = at

    def __array__(
        self,
        dtype: Any = None,
        copy: bool | None = None,  # noqa: FBT001  numpy calls it so
    ) -> npt.NDArray[Any]:
        return np.array(self._together.vectors()[self._at], dtype=dtype, copy=copy)

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
        ):  # numpy looks for other ways to an array before it takes __array__
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
        """Return its floats, which may not have come either: Spark's loops end with this."""
        return _Floats(self)


class _Floats(Sequence[float]):
    """The list of a vector that may not have come yet; a sequence to Arrow, pandas and numpy."""

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
