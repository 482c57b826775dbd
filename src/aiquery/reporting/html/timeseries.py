"""Attempts of a run as series for plots: a few hundred points, however many attempts there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Numbers = npt.NDArray[np.float64]

BINS = 120
Points = list[dict[str, Any]]


class Series:
    """What happened over the time of a run. Times are seconds since the first attempt began."""

    def __init__(self, attempts: pa.Table) -> None:
        """Take attempts as they are kept, at least one."""
        self._attempts = attempts
        started = attempts["started_at"].to_numpy()
        self._from = started - started.min()
        self._to = self._from + attempts["latency_s"].to_numpy()
        self._edges: Numbers = np.linspace(
            0.0, max(float(self._to.max()), 1e-3), BINS + 1
        )
        self._width = float(self._edges[1])
        self.answered = np.isin(self._texts("ending"), ["answered", "truncated"])

    def throughput(self) -> Points:
        """Return the answers per second, by endpoint."""
        return self._per_second("endpoint", self.answered, np.ones(len(self._to)))

    def tokens(self) -> Points:
        """Return the tokens per second: in, cached (part of in), out."""
        found: Points = []
        for column, kind in (
            ("tokens_in", "in"),
            ("tokens_cached", "cached"),
            ("tokens_out", "out"),
        ):
            sums = (
                self._sums(np.ones(len(self._to), bool), self._numbers(column))
                / self._width
            )
            found += self._points(sums, kind)
        return found

    def in_flight(self) -> Points:
        """Return the requests in flight, the mean of each interval."""
        begun, ended = np.sort(self._from), np.sort(self._to)
        areas = [self._area_until(float(edge), begun, ended) for edge in self._edges]
        return self._points(np.diff(areas) / self._width, "in flight")

    def cost(self) -> Points:
        """Return the USD so far."""
        return self._points(
            np.cumsum(
                self._sums(np.ones(len(self._to), bool), self._numbers("cost_usd"))
            ),
            "USD",
        )

    def errors(self) -> Points:
        """Return the attempts that went wrong, by class."""
        return self._per_second(
            "error", self._texts("error") != "", np.full(len(self._to), self._width)
        )

    def latencies(self) -> Points:
        """Return how many answers took so long; the bounds are seconds, each a tenth of a decade wide."""
        latencies = np.maximum((self._to - self._from)[self.answered], 1e-4)
        if not len(latencies):
            return []
        low, high = (
            np.floor(np.log10(latencies.min()) * 10),
            np.ceil(np.log10(latencies.max()) * 10),
        )
        edges = 10 ** (np.arange(low, max(high, low + 1) + 1) / 10)
        counts, _ = np.histogram(latencies, edges)
        return [
            {"from": float(a), "to": float(b), "answers": int(n)}
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        ]

    def percentiles(self) -> dict[str, float]:
        """Return the 50th, 95th and 99th percentile of the latency of answers, in seconds."""
        latencies = (self._to - self._from)[self.answered]
        return (
            {f"p{q}": float(np.percentile(latencies, q)) for q in (50, 95, 99)}
            if len(latencies)
            else {}
        )

    # ---

    def _area_until(self, moment: float, begun: Numbers, ended: Numbers) -> float:
        """Return the seconds that all requests together were in flight before ``moment``."""
        open_ = begun[begun < moment]
        over = ended[ended < moment]
        return float((moment - open_).sum() - (moment - over).sum())

    def _per_second(
        self, column: str, chosen: npt.NDArray[np.bool_], weights: Numbers
    ) -> Points:
        names = self._texts(column)
        found: Points = []
        for name in sorted(set(names[chosen].tolist())):
            found += self._points(
                self._sums(chosen & (names == name), weights) / self._width, name
            )
        return found

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
        numbers: Numbers = np.nan_to_num(
            self._attempts[column].to_numpy().astype(np.float64)
        )
        return numbers

    def _texts(self, column: str) -> npt.NDArray[Any]:
        return np.asarray(
            self._attempts[column].combine_chunks().dictionary_decode().to_pylist(),
            dtype=str,
        )
