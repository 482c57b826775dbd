"""Attempts of a run as series for plots: a few hundred points for any number of attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

BINS = 120
Points = list[dict[str, Any]]


class AttemptSeries:
    """Series over the time of a run. Times are seconds since the first attempt began."""

    def __init__(self, attempts: pa.Table) -> None:
        """Take at least one attempt, in the columns of the run store."""
        self._attempts = attempts
        started = attempts["started_at"].to_numpy()
        self._from = started - started.min()
        self._to = self._from + attempts["latency_s"].to_numpy()
        seconds = max(float(self._to.max()), 1e-3)
        self._edges: Numbers = np.linspace(0.0, seconds, BINS + 1)
        self._width = float(self._edges[1])
        self.answered = np.isin(self._texts("ending"), ["answered", "truncated"])

    def throughput(self) -> Points:
        """Return the answers per second, by endpoint."""
        return self._per_second("endpoint", self.answered, np.ones(len(self._to)))

    def tokens(self) -> Points:
        """Return the tokens per second: in, cached (part of in), out."""
        points: Points = []
        for kind in ("in", "cached", "out"):
            sums = self._sums(self._all(), self._numbers(f"tokens_{kind}"))
            points += self._points(sums / self._width, kind)
        return points

    def in_flight(self) -> Points:
        """Return the requests in flight, the mean of each interval."""
        begun = np.sort(self._from)
        ended = np.sort(self._to)
        areas = [self._area_until(float(edge), begun, ended) for edge in self._edges]
        return self._points(np.diff(areas) / self._width, "in flight")

    def cost(self) -> Points:
        """Return the USD so far."""
        sums = self._sums(self._all(), self._numbers("cost_usd"))
        return self._points(np.cumsum(sums), "USD")

    def errors(self) -> Points:
        """Return the failed attempts of each interval, by the class of the error."""
        failed = self._texts("error") != ""
        weights = np.full(len(self._to), self._width)
        return self._per_second("error", failed, weights)

    def latencies(self) -> Points:
        """Return a histogram of the latencies in seconds; a bin is a tenth of a decade wide."""
        latencies = np.maximum((self._to - self._from)[self.answered], 1e-4)
        if not len(latencies):
            return []
        low = np.floor(np.log10(latencies.min()) * 10)
        high = np.ceil(np.log10(latencies.max()) * 10)
        edges = 10 ** (np.arange(low, max(high, low + 1) + 1) / 10)
        counts, _ = np.histogram(latencies, edges)
        return [
            {"from": float(a), "to": float(b), "answers": int(n)}
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        ]

    def percentiles(self) -> dict[str, float]:
        """Return the 50th, 95th and 99th percentile of the latency of answers, in seconds."""
        latencies = (self._to - self._from)[self.answered]
        if not len(latencies):
            return {}
        return {f"p{q}": float(np.percentile(latencies, q)) for q in (50, 95, 99)}

    def _all(self) -> npt.NDArray[np.bool_]:
        return np.ones(len(self._to), bool)

    def _area_until(self, moment: float, begun: Numbers, ended: Numbers) -> float:
        """Return the seconds that all requests together were in flight before ``moment``."""
        since_begin = moment - begun[begun < moment]
        since_end = moment - ended[ended < moment]
        return float(since_begin.sum() - since_end.sum())

    def _per_second(
        self, column: str, chosen: npt.NDArray[np.bool_], weights: Numbers
    ) -> Points:
        names = self._texts(column)
        points: Points = []
        for name in sorted(set(names[chosen].tolist())):
            sums = self._sums(chosen & (names == name), weights)
            points += self._points(sums / self._width, name)
        return points

    def _sums(self, chosen: npt.NDArray[np.bool_], weights: Numbers) -> Numbers:
        sums, _ = np.histogram(self._to[chosen], self._edges, weights=weights[chosen])
        return np.asarray(sums, np.float64)

    def _points(self, values: Numbers, kind: str) -> Points:
        middles = (self._edges[:-1] + self._edges[1:]) / 2
        return [
            {
                "seconds": round(float(t), 3),
                "value": round(float(value), 6),
                "kind": kind,
            }
            for t, value in zip(middles, values, strict=True)
        ]

    def _numbers(self, column: str) -> Numbers:
        values = self._attempts[column].to_numpy().astype(np.float64)
        numbers: Numbers = np.nan_to_num(values)
        return numbers

    def _texts(self, column: str) -> npt.NDArray[Any]:
        texts = self._attempts[column].combine_chunks().dictionary_decode()
        return np.asarray(texts.to_pylist(), dtype=str)
