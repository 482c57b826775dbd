"""The workers of a client: one for each endpoint, opened when its first request comes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiquery.errors import AIQueryError
from aiquery.inference.endpoint_worker import EndpointWorker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aiquery.config.endpoint import Endpoint
    from aiquery.inference.cluster.client import CoordinatorClient
    from aiquery.inference.completion import Completion
    from aiquery.inference.scheduling.budget_guard import Budgets
    from aiquery.interfaces import Provider
    from aiquery.runtime.task_set import TaskSet
    from aiquery.tracking.run import RunStats

log = logging.getLogger("aiquery")

CANCELLED_S = 1.0
"""How long cancelled attempts may take to end, in seconds."""


class WorkerPool:
    """Opens workers, replaces those that failed, and closes them all."""

    def __init__(
        self,
        open_provider: Callable[[Endpoint], Awaitable[Provider]],
        completion: Completion,
        tasks: TaskSet,
        *,
        budget_guard: Budgets | None,
        coordinator: CoordinatorClient | None,
    ) -> None:
        """Open nothing yet. ``completion`` receives the results of all workers; ``tasks`` open them."""
        self._open_provider = open_provider
        self._completion = completion
        self._tasks = tasks
        self._budget_guard = budget_guard
        self._coordinator = coordinator
        self._workers: dict[str, EndpointWorker] = {}
        self._failed: list[EndpointWorker] = []

    def __iter__(self) -> Iterator[EndpointWorker]:
        """Return the workers that are in use."""
        return iter(list(self._workers.values()))

    def get(self, endpoint: Endpoint) -> EndpointWorker:
        """Return the worker of an endpoint; a new one if there is none, or if it failed."""
        worker = self._workers.get(endpoint.name)
        if worker is not None and worker.error is None:
            return worker
        if worker is not None:
            self._failed.append(worker)
        worker = EndpointWorker(
            endpoint,
            self._completion,
            budget_guard=self._budget_guard,
            coordinator=self._coordinator,
        )
        self._workers[endpoint.name] = worker
        self._tasks.spawn(self._open(worker))
        return worker

    async def _open(self, worker: EndpointWorker) -> None:
        name = worker.endpoint.name
        try:
            if self._coordinator is not None:
                await self._coordinator.connect()
            worker.open(await self._open_provider(worker.endpoint))
        except AIQueryError as error:
            worker.fail(error)
        except Exception as error:
            if not _is_end_of_process(error):
                log.exception("endpoint %s could not be opened", name)
            text = f"endpoint {name!r} could not be opened: {error!r}"
            worker.fail(AIQueryError(text))

    def start_ready(self) -> None:
        """Let every worker start the requests that may start now."""
        for worker in self:
            worker.start_ready()

    def of_run(self, stats: RunStats) -> list[EndpointWorker]:
        """Return the workers of the endpoints that a run has used; all if it has used none yet."""
        names = {endpoint for endpoint, _ in stats.totals}
        return [one for one in self if not names or one.endpoint.name in names]

    async def wait_for_cancelled(self) -> None:
        """Wait until the cancelled attempts have ended and are counted."""
        waits = [worker.tasks.wait_for_cancelled(CANCELLED_S) for worker in self]
        await asyncio.gather(*waits)

    async def close(self) -> None:
        """Cancel the attempts in flight and close the providers."""
        workers = [*self._workers.values(), *self._failed]
        self._workers = {}
        self._failed = []
        for worker in workers:
            await worker.close()


def _is_end_of_process(error: Exception) -> bool:
    """Return True for the error of an executor when the interpreter ends: then no answer is awaited."""
    return isinstance(error, RuntimeError) and str(error).endswith("shutdown")
