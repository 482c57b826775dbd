"""An endpoint in virtual time, driven by the scheduler that drives real ones: no clock and no I/O.

One hour of virtual time takes about a second.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from aiquery.errors import RequestFailed
from aiquery.inference.scheduling.admission import Failure
from aiquery.inference.scheduling.retry import Retry
from aiquery.inference.scheduling.scheduler import Scheduler
from aiquery.requests.request import RateLimits
from aiquery.testing.replica import BLOCK_TOKENS, Replica

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiquery.inference.scheduling.admission import Admission

_Event: TypeAlias = "Callable[[], None]"

MINUTE_S = 60.0
_THROTTLED = frozenset({429, 503})
_UNAVAILABLE = frozenset({0, 502, 504})


@dataclass(kw_only=True, eq=False)
class Work:
    """One request of a workload.

    blocks       its prompt, as blocks of 16 tokens
    tokens_out   tokens of its answer

    The scheduler sets the other fields: see ``Attempted``.
    """

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
        """All tokens of the request and its answer."""
        return BLOCK_TOKENS * len(self.blocks) + self.tokens_out


def workload(
    count: int,
    *,
    shared_tokens: int,
    tokens_in: int = 276,
    draw: Callable[[random.Random], float],
    seed: int = 1,
) -> list[Work]:
    """Return ``count`` requests.

    shared_tokens   the length of the prefix that all prompts share
    tokens_in       the length of a prompt
    draw            returns the tokens of an answer
    """
    source = random.Random(seed)  # noqa: S311  not a secret
    shared_count = shared_tokens // BLOCK_TOKENS
    shared: list[object] = [("shared", k) for k in range(shared_count)]
    own_count = tokens_in // BLOCK_TOKENS - shared_count
    works = []
    for i in range(count):
        own = [(i, k) for k in range(own_count)]
        tokens_out = int(draw(source)) + 1
        works.append(Work(blocks=[*shared, *own], tokens_out=tokens_out))
    return works


class Fault(NamedTuple):
    """The failure of a request.

    status    an HTTP status; 0: the connection is reset
    wait_s    the seconds of Retry-After
    after_s   the seconds between the arrival of the request and the failure
    """

    status: int
    wait_s: float | None = None
    after_s: float = 0.0

    def to_error(self) -> RequestFailed:
        """Return the error that the client receives."""
        return RequestFailed(
            f"HTTP {self.status}",
            retryable=True,
            status=self.status,
            wait_s=self.wait_s,
            throttled=self.status in _THROTTLED,
            unavailable=self.status in _UNAVAILABLE,
        )


def _never(_: float, __: Work) -> Fault | None:
    return None


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """The simulated endpoint. Times are in seconds.

    replica      answers the requests
    takes_s      instead of a replica: the duration of a request that begins at a time
    faults       the fault of a request at a time; None: it is answered
    drops        times at which every connection is reset
    capacity     requests in flight above which it answers 429, as a function of the time
    requests_per_minute, tokens_per_minute    in a sliding minute, above which it answers 429 with
                 Retry-After
    sends_limits    True if its headers name its limits
    """

    replica: Replica = field(default_factory=Replica)
    takes_s: Callable[[float], float] | None = None
    faults: Callable[[float, Work], Fault | None] = _never
    drops: Sequence[float] = ()
    capacity: Callable[[float], int] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    sends_limits: bool = True

    def is_full(self, now: float, in_flight: int) -> bool:
        """Return True if it has no capacity for another request."""
        return self.capacity is not None and in_flight >= self.capacity(now)


class SlidingMinute:
    """The requests that an endpoint accepted in the last minute."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Start empty; ``endpoint`` has the limits."""
        self._endpoint = endpoint
        self._accepted: deque[tuple[float, float]] = deque()
        self._tokens = 0.0

    def accept(self, now: float, work: Work) -> float | None:
        """Count ``work`` and return None, or return the seconds until there is room for it."""
        while self._accepted and self._accepted[0][0] <= now - MINUTE_S:
            _, tokens = self._accepted.popleft()
            self._tokens -= tokens
        max_requests = self._endpoint.requests_per_minute
        max_tokens = self._endpoint.tokens_per_minute
        has_room = max_requests is None or len(self._accepted) < max_requests
        if max_tokens is not None and self._tokens + work.tokens > max_tokens:
            has_room = False
        if not has_room:
            return self._accepted[0][0] + MINUTE_S - now
        self._accepted.append((now, work.tokens))
        self._tokens += work.tokens
        return None

    def limits(self) -> RateLimits | None:
        """Return the limits that the headers of a reply name; None: they name none."""
        endpoint = self._endpoint
        has_limit = endpoint.requests_per_minute or endpoint.tokens_per_minute
        if not has_limit or not endpoint.sends_limits:
            return None
        requests_left = None
        if endpoint.requests_per_minute is not None:
            requests_left = endpoint.requests_per_minute - len(self._accepted)
        return RateLimits(
            requests_per_minute=endpoint.requests_per_minute,
            requests_left=requests_left,
            tokens_per_minute=endpoint.tokens_per_minute,
        )


class Result(NamedTuple):
    """The result of a simulation.

    rows_per_s   answers per second
    resent       requests that were sent again, per request
    peak         the highest number of requests in flight
    seconds      of virtual time
    lost         requests without an answer
    """

    rows_per_s: float
    resent: float
    peak: int
    seconds: float
    lost: int


class Simulation:
    """Sends one workload through one scheduler to one endpoint."""

    def __init__(
        self, admission: Admission, endpoint: Endpoint, travel_s: float = 0.0005
    ) -> None:
        """Start at time 0. ``travel_s`` is the latency of the network in one direction."""
        self.admission = admission
        self.endpoint = endpoint
        self.travel_s = travel_s
        self.scheduler: Scheduler[Work] = Scheduler(admission)
        self.retry = Retry()
        self.now = 0.0
        self._events: list[tuple[float, int, _Event]] = []
        self._order = itertools.count()
        self._minute = SlidingMinute(endpoint)
        self._in_flight = 0
        self._peak = 0
        self._sent = 0
        self._done = 0
        self._lost = 0
        self._ends_at: dict[Work, float] = {}
        self._woken_at = -1.0
        self._iteration_ends_at: float | None = None
        self._jitter = random.Random(7)  # noqa: S311  not a secret

    def run(self, works: Sequence[Work]) -> Result:
        """Send all requests and return the result."""
        for work in works:
            self.scheduler.add(work)
        for at in self.endpoint.drops:
            self._schedule(at, self._drop)
        self._start_ready()
        while self._done + self._lost < len(works):
            self.now, _, event = heapq.heappop(self._events)
            event()
        return Result(
            rows_per_s=len(works) / self.now,
            resent=(self._sent - len(works)) / len(works),
            peak=self._peak,
            seconds=self.now,
            lost=self._lost,
        )

    def _schedule(self, at: float, event: _Event) -> None:
        entry = (at, next(self._order), event)
        heapq.heappush(self._events, entry)

    def _travel(self, event: _Event) -> None:
        """Schedule the arrival of a message that is sent now."""
        self._schedule(self.now + self.travel_s, event)

    # --- the client

    def _start_ready(self) -> None:
        while (work := self.scheduler.take(self.now)) is not None:
            self._sent += 1
            if not work.tries:
                work.seen = self.admission.answer_count
            work.tries += 1
            self._peak = max(self._peak, self.scheduler.in_flight)
            self._travel(partial(self._arrive, work))
        wake_at = self.scheduler.wake_at(self.now)
        if wake_at is None or wake_at <= self.now:
            return
        if not self.now < self._woken_at <= wake_at:
            self._woken_at = wake_at
            self._schedule(wake_at, self._start_ready)

    def _record_answer(self, work: Work) -> None:
        self._done += 1
        self._observe_limits()
        self.admission.rates.output.observe(work.tokens_out)
        self.scheduler.record_answer(work, self.now, work.started, work.tokens)
        if work.tries == 1:
            self.retry.first += 1
        self._start_ready()

    def _record_failure(self, work: Work, fault: Fault) -> None:
        self._observe_limits()
        error = fault.to_error()
        was_down = self.admission.down_since is not None
        jitter = self._jitter.random()
        failure = Failure(self.now, work.started, error.throttled, fault.wait_s, jitter)
        self.scheduler.record_failure(work, failure)
        self.retry.charge(work, error, self.admission.answer_count, was_down=was_down)
        wait_s = self.retry.wait_s(error, work.charged, self._jitter.random())
        if wait_s is None or self._is_given_up():
            self._lost += 1
        else:
            self.scheduler.rest(work, self.now + wait_s)
        self._start_ready()

    def _is_given_up(self) -> bool:
        down_since = self.admission.down_since
        return down_since is not None and self.now > down_since + self.retry.outage_s

    def _observe_limits(self) -> None:
        limits = self._minute.limits()
        if limits is not None:
            self.admission.observe(limits)

    # --- the endpoint

    def _arrive(self, work: Work) -> None:
        fault = self._find_fault(work)
        if fault is not None:
            at = self.now + fault.after_s + self.travel_s
            self._schedule(at, partial(self._record_failure, work, fault))
            return
        self._in_flight += 1
        if self.endpoint.takes_s is not None:
            ends_at = self.now + self.endpoint.takes_s(self.now)
            self._ends_at[work] = ends_at
            self._schedule(ends_at, partial(self._end, work, ends_at))
            return
        self.endpoint.replica.arrive(self.now, work, work.blocks, work.tokens_out)
        self._schedule_iteration()

    def _find_fault(self, work: Work) -> Fault | None:
        wait_s = self._minute.accept(self.now, work)
        is_full = self.endpoint.is_full(self.now, self._in_flight)
        if is_full or wait_s is not None:
            return Fault(429, wait_s)
        return self.endpoint.faults(self.now, work)

    def _end(self, work: Work, ends_at: float) -> None:
        if self._ends_at.get(work) == ends_at:
            del self._ends_at[work]
            self._reply(work)

    def _reply(self, work: Work) -> None:
        self._in_flight -= 1
        self._travel(partial(self._record_answer, work))

    def _drop(self) -> None:
        """Reset every connection: the requests in flight get no answer."""
        for work in self._ends_at:
            self._in_flight -= 1
            self._travel(partial(self._record_failure, work, Fault(0)))
        self._ends_at.clear()

    def _schedule_iteration(self) -> None:
        ends_at = self.endpoint.replica.ends_at
        if ends_at is not None and ends_at != self._iteration_ends_at:
            self._iteration_ends_at = ends_at
            self._schedule(ends_at, self._end_iteration)

    def _end_iteration(self) -> None:
        for work, _ in self.endpoint.replica.advance():
            self._reply(work)
        self._schedule_iteration()
