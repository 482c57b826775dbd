"""Pure: an endpoint in virtual time, driven by the same schedule that drives real ones. An hour passes in a second."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.admission import Failure
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.requests.request import RateLimits
from aiquery.testing.replica import BLOCK_TOKENS, Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.inference.scheduling.admission import Admission

MINUTE = 60.0


@dataclass(eq=False)
class Work:
    """One request of a workload: its prompt as blocks of 16 tokens, and how many tokens the answer has."""

    blocks: list[object]
    tokens_out: int
    started: float = 0.0
    reserved: float = 0.0
    tries: int = 0
    charged: int = 0
    times: int = 0
    seen: int = 0
    suspect: bool = False

    @property
    def tokens(self) -> int:
        """All tokens of the request."""
        return BLOCK_TOKENS * len(self.blocks) + self.tokens_out


def workload(
    count: int,
    *,
    shared_tokens: int,
    tokens_in: int = 276,
    draw: Callable[[random.Random], float],
    seed: int = 1,
) -> list[Work]:
    """Return ``count`` requests whose prompts begin with the same ``shared_tokens``; ``draw`` gives output tokens."""
    source = random.Random(seed)  # noqa: S311  a workload, no secret
    shared: list[object] = [("shared", k) for k in range(shared_tokens // BLOCK_TOKENS)]
    own = tokens_in // BLOCK_TOKENS - len(shared)
    return [
        Work([*shared, *((i, k) for k in range(own))], int(draw(source)) + 1)
        for i in range(count)
    ]


class Fault(NamedTuple):
    """What a request gets in place of an answer, ``after_s`` seconds after it arrived.

    status    an HTTP status; 0: the connection is reset
    wait_s    Retry-After
    """

    status: int
    wait_s: float | None = None
    after_s: float = 0.0

    def error(self) -> RequestFailed:
        """Return it as the client sees it."""
        throttled = self.status in {429, 503}
        unavailable = self.status in {0, 502, 504}
        return RequestFailed(
            f"HTTP {self.status}", retryable=True, status=self.status, wait_s=self.wait_s,
            throttled=throttled, unavailable=unavailable,
        )  # fmt: skip


@dataclass(eq=False)
class Endpoint:
    """What stands behind the simulated URL.

    replica              does the work
    takes_s              instead of a replica: each request takes so long that begins at a time
    faults               at a time, what a request gets in place of an answer; None: an answer
    drops                times at which every connection is reset
    capacity             in flight above which it answers 429, as a function of the time
    requests_per_minute, tokens_per_minute    a sliding window of 60 seconds above which it answers 429 with Retry-After
    tells                whether it names its limits in headers
    """

    replica: Replica = field(default_factory=Replica)
    takes_s: Callable[[float], float] | None = None
    faults: Callable[[float, Work], Fault | None] = lambda _, __: None
    drops: Sequence[float] = ()
    capacity: Callable[[float], int] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tells: bool = True


class Result(NamedTuple):
    """What came of it: answers per second, requests sent again per request, most in flight, seconds, rows lost."""

    rows_per_s: float
    resent: float
    peak: int
    seconds: float
    lost: int


class Simulation:
    """One workload through one schedule to one endpoint. Seconds of virtual time; ``travel_s`` is one way."""

    def __init__(
        self, admission: Admission, endpoint: Endpoint, travel_s: float = 0.0005
    ) -> None:
        """Start at time 0."""
        self.admission, self.endpoint, self.travel_s = admission, endpoint, travel_s
        self.scheduler: Scheduler[Work] = Scheduler(admission)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._inside = 0
        self._peak = 0
        self._sent = 0
        self._done = 0
        self._lost = 0
        self.retry = Retry()
        self._at_work: dict[Work, float] = {}
        self._woken = -1.0
        self._iterating: float | None = None
        self._window: deque[tuple[float, float]] = deque()
        self._window_tokens = 0.0
        self._jitter = random.Random(7)  # noqa: S311

    def run(self, works: Sequence[Work]) -> Result:
        """Ask all of ``works`` and return what came of it."""
        for work in works:
            self.scheduler.add(work)
        for at in self.endpoint.drops:
            self._at(at, self._drop)
        self._fill()
        while self._done + self._lost < len(works):
            self.now, _, event = heapq.heappop(self._events)
            event()
        resent = (self._sent - len(works)) / len(works)
        return Result(len(works) / self.now, resent, self._peak, self.now, self._lost)

    def _at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    # --- the client

    def _fill(self) -> None:
        while (work := self.scheduler.take(self.now)) is not None:
            self._sent += 1
            if not work.tries:
                work.seen = self.admission.answer_count
            work.tries += 1
            self._peak = max(self._peak, self.scheduler.in_flight)
            self._at(self.now + self.travel_s, lambda work=work: self._arrive(work))  # type: ignore[misc]
        wake_at = self.scheduler.wake_at(self.now)
        if (
            wake_at is not None
            and wake_at > self.now
            and not self.now < self._woken <= wake_at
        ):
            self._woken = wake_at
            self._at(wake_at, self._fill)

    def _answered(self, work: Work) -> None:
        self._done += 1
        self._tell()
        self.admission.rates.output.observe(work.tokens_out)
        self.scheduler.record_answer(work, self.now, work.started, work.tokens)
        if work.tries == 1:
            self.retry.first += 1
        self._fill()

    def _tell(self) -> None:
        if self.endpoint.tells and (
            self.endpoint.requests_per_minute or self.endpoint.tokens_per_minute
        ):
            left = (
                None
                if self.endpoint.requests_per_minute is None
                else self._requests_left()
            )
            per_minute = (
                self.endpoint.requests_per_minute,
                left,
                self.endpoint.tokens_per_minute,
                None,
            )
            self.admission.observe(RateLimits(*per_minute))

    def _failed(self, work: Work, fault: Fault) -> None:
        self._tell()
        error, was_down = fault.error(), self.admission.down_since is not None
        self.scheduler.record_failure(
            work, Failure(self.now, work.started, error.throttled, fault.wait_s, self._jitter.random())
        )  # fmt: skip
        self.retry.charge(work, error, self.admission.answer_count, was_down=was_down)
        wait_s = self.retry.wait_s(error, work.charged, self._jitter.random())
        down_since = self.admission.down_since
        if wait_s is None or (
            down_since is not None and self.now > down_since + self.retry.outage_s
        ):
            self._lost += 1
        else:
            self.scheduler.rest(work, self.now + wait_s)
        self._fill()

    # --- the endpoint

    def _arrive(self, work: Work) -> None:
        wait_s = self._window_wait_s(work)
        full = (
            self.endpoint.capacity is not None
            and self._inside >= self.endpoint.capacity(self.now)
        )
        fault = (
            Fault(429, wait_s)
            if full or wait_s is not None
            else self.endpoint.faults(self.now, work)
        )
        if fault is not None:
            self._at(
                self.now + fault.after_s + self.travel_s,
                lambda: self._failed(work, fault),
            )
            return
        self._inside += 1
        if self.endpoint.takes_s is not None:
            ends_at = self._at_work[work] = self.now + self.endpoint.takes_s(self.now)
            self._at(ends_at, lambda: self._end(work, ends_at))
            return
        self.endpoint.replica.arrive(self.now, work, work.blocks, work.tokens_out)
        self._follow()

    def _end(self, work: Work, ends_at: float) -> None:
        if self._at_work.get(work) == ends_at:
            del self._at_work[work]
            self._inside -= 1
            self._at(self.now + self.travel_s, lambda: self._answered(work))

    def _drop(self) -> None:
        """Reset every connection: what was at work has no answer."""
        for work in self._at_work:
            self._inside -= 1
            self._at(self.now + self.travel_s, partial(self._failed, work, Fault(0)))
        self._at_work.clear()

    def _follow(self) -> None:
        ends_at = self.endpoint.replica.ends_at
        if ends_at is not None and ends_at != self._iterating:
            self._iterating = ends_at
            self._at(ends_at, self._iterate)

    def _iterate(self) -> None:
        for work, _ in self.endpoint.replica.advance():
            self._inside -= 1
            self._at(self.now + self.travel_s, lambda work=work: self._answered(work))  # type: ignore[misc]
        self._follow()

    def _requests_left(self) -> float:
        return (self.endpoint.requests_per_minute or 0) - len(self._window)

    def _window_wait_s(self, work: Work) -> float | None:
        """Count ``work`` in the window, or return how long until there is room."""
        while self._window and self._window[0][0] <= self.now - MINUTE:
            self._window_tokens -= self._window.popleft()[1]
        requests, tokens = (
            self.endpoint.requests_per_minute,
            self.endpoint.tokens_per_minute,
        )
        too_many = requests is not None and len(self._window) >= requests
        too_much = tokens is not None and self._window_tokens + work.tokens > tokens
        if too_many or too_much:
            return self._window[0][0] + MINUTE - self.now
        self._window.append((self.now, work.tokens))
        self._window_tokens += work.tokens
        return None
